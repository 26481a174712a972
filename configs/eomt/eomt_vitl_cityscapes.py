# EoMT-L with DINOv2 (arXiv:2304.07193) on Cityscapes, 1024x1024.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 84.2 mIoU, Kerssies et al. 2025, Table 5, single scale, windows of 1024.
# hardware: 4x H100; an estimate is 4 hours and 70 GB each, from the published 6 hours and 26 GB each for COCO at 640.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_cityscapes.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_cityscapes.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl.py', '../_base_/datasets/cityscapes_1024.py',
    '../_base_/schedules/eomt_dinov2.py'
]
model = dict(
    num_classes=19,
    data_preprocessor=dict(size=(1024, 1024)),
    backbone=dict(img_size=(1024, 1024)),
    test_cfg=dict(crop_size=(1024, 1024)))
train_cfg = dict(max_iters=19902, val_interval=2000)  # 107 epochs of 186 batches
param_scheduler = dict(head_warmup=500 / 19902, backbone_warmup=1000 / 19902)
