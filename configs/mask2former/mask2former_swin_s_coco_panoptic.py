# Mask2Former with Swin-S, COCO panoptic segmentation, 1024x1024.
#
# paper: Masked-attention Mask Transformer for Universal Image Segmentation, arXiv:2112.01527.
# published: 54.6 PQ, Cheng et al. 2022, model zoo of their code.
# hardware: 8x V100 with 2 images each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_swin_s_coco_panoptic.py 8 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_swin_s_coco_panoptic.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = ['mask2former_swin_t_coco_panoptic.py']
model = dict(backbone=dict(name='swin_small_patch4_window7_224.ms_in1k'))
