# EoMT-L with DINOv2 (arXiv:2304.07193), ADE20K panoptic segmentation, 640x640.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 50.6 PQ, Kerssies et al. 2025, Table 4.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_ade20k_panoptic_640.py --launcher pytorch
#   --amp --load-from COCO --new-classes
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_ade20k_panoptic_640.py --amp --load-from COCO --new-classes
#   --cfg-options train_dataloader.batch_size=16
# COCO is the checkpoint of eomt_vitl_coco_panoptic_640, with which the authors begin.
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl_segments.py', '../_base_/datasets/ade20k_panoptic_640.py',
    '../_base_/schedules/eomt_dinov2.py'
]
model = dict(
    task='panoptic',
    num_classes=150,
    stuff_classes={{_base_.stuff_classes}},
    backbone=dict(img_size=(640, 640)))
