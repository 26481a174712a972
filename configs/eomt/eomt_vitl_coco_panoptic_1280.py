# EoMT-L with DINOv2 (arXiv:2304.07193), COCO panoptic segmentation, 1280x1280.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 58.3 PQ, Kerssies et al. 2025, Table 4.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_coco_panoptic_1280.py --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_coco_panoptic_1280.py --amp
#   --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl_segments.py', '../_base_/datasets/coco_panoptic_1280.py',
    '../_base_/schedules/eomt_dinov2_coco.py'
]
model = dict(
    task='panoptic',
    num_classes=133,
    stuff_classes=list(range(80, 133)),
    backbone=dict(img_size=(1280, 1280)))
