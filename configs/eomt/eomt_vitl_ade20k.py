# EoMT-L with DINOv2 (arXiv:2304.07193) on ADE20K, 512x512.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 58.4 mIoU, Kerssies et al. 2025, Table 5, single scale, windows of 512.
# hardware: 4x H100; an estimate is 2 hours, from the published 6 hours and 26 GB each for COCO at 640.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_ade20k.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl.py', '../_base_/datasets/ade20k_512.py',
    '../_base_/schedules/eomt_dinov2.py'
]
model = dict(
    num_classes=150,
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(img_size=(512, 512)),
    test_cfg=dict(crop_size=(512, 512)))
