# RF-DETR-Seg-S on COCO: boxes and masks, squares of 384 pixels.
#
# paper: RF-DETR: Neural Architecture Search for Real-Time Detection Transformers, arXiv:2511.09554.
# published: 43.1 mask AP, github.com/roboflow/rf-detr, README.md; after Objects365 with masks by SAM 2.
# hardware: 4 GPUs with 4 images each.
# command: tools/dist_train.sh configs/rfdetr/rfdetr_seg_small_coco.py 4 --amp
# not trained here.
#
# Roboflow's checkpoints of N, S, M and L (Apache-2.0) load as they are; of their 91 classes, COCO's 80 are taken. Those
# of XL and 2XL are under PML-1.0, which is no open licence: there is no config of them.
_base_ = '../_base_/recipes/rfdetr_seg_coco.py'
