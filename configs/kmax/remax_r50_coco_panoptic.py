# kMaX-DeepLab with ResNet-50, trained with ReMaX, COCO panoptic segmentation, 1280x1280.
#
# paper: ReMaX: Relaxing for Better Training on Efficient Panoptic Segmentation, arXiv:2306.17319.
# published: no published number is quoted; the paper compares ReMaX with kMaX-DeepLab under other schedules.
# hardware: 32 GPUs with 2 images each; time and memory were not measured.
# command: torchrun --nnodes=4 --nproc_per_node=8 tools/train.py configs/kmax/remax_r50_coco_panoptic.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/kmax/remax_r50_coco_panoptic.py --amp
#   --cfg-options train_dataloader.batch_size=64
# not trained here.
_base_ = ['kmax_r50_coco_panoptic.py']
# ReMask in the first four decoder layers, and ReClass with the paper's eta.
model = dict(head=dict(relax=4), criterion=dict(eta=.1))
