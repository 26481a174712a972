# EoMT-L with DINOv3 (arXiv:2508.10104) on ADE20K, 512x512.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 59.5 mIoU, the authors' model zoo (github.com/tue-mps/eomt), single scale, windows of 512.
# hardware: 4x H100; an estimate is 1 hour.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_dinov3_ade20k.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_dinov3_ade20k.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl.py', '../_base_/datasets/ade20k_512.py',
    '../_base_/schedules/eomt_dinov3.py'
]
model = dict(
    num_classes=150,
    data_preprocessor=dict(size=(512, 512)),
    # Biases of queries and values as in the released DINOv3 models, whose keys have none.
    backbone=dict(name='vit_large_patch16_dinov3_qkvb', img_size=(512, 512)),
    test_cfg=dict(crop_size=(512, 512)))
