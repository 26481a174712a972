# Mask2Former with Swin-L (IN-21k), COCO panoptic segmentation, 1024x1024.
#
# paper: Masked-attention Mask Transformer for Universal Image Segmentation, arXiv:2112.01527.
# published: 57.8 PQ, Cheng et al. 2022, model zoo of their code.
# hardware: 16x V100 with 1 image each; time and memory were not published.
# command: tools/dist_train.sh configs/mask2former/mask2former_swin_l_coco_panoptic.py 16 --amp
# 1 GPU: python tools/train.py configs/mask2former/mask2former_swin_l_coco_panoptic.py --amp \
#     --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/mask2former_swin_segments.py',
    '../_base_/datasets/coco_panoptic_lsj_1024.py', '../_base_/schedules/mask2former_coco_100e.py'
]
train_dataloader = dict(batch_size=1)
model = dict(
    task='panoptic',
    num_classes=133,
    stuff_classes=list(range(80, 133)),
    backbone=dict(name='swin_large_patch4_window12_384.ms_in22k'),
    head=dict(num_queries=200))
