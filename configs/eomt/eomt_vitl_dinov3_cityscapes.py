# EoMT-L with DINOv3 (arXiv:2508.10104) on Cityscapes, 1024x1024.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: no published number for this backbone and dataset.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_dinov3_cityscapes.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_dinov3_cityscapes.py --amp --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl.py', '../_base_/datasets/cityscapes_1024.py',
    '../_base_/schedules/eomt_dinov3.py'
]
model = dict(
    num_classes=19,
    data_preprocessor=dict(size=(1024, 1024)),
    # Biases of queries and values as in the released DINOv3 models, whose keys have none.
    backbone=dict(name='vit_large_patch16_dinov3_qkvb', img_size=(1024, 1024)),
    test_cfg=dict(crop_size=(1024, 1024)))
# The authors have no such configuration: as long as with DINOv2, the rest as with DINOv3 on ADE20K.
train_cfg = dict(max_iters=19902, val_interval=2000)
