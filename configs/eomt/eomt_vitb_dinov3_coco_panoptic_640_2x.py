# EoMT-B with DINOv3 (arXiv:2508.10104), COCO panoptic segmentation, 640x640, 24 epochs.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 53.1 PQ, the authors' model zoo (github.com/tue-mps/eomt).
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitb_dinov3_coco_panoptic_640_2x.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitb_dinov3_coco_panoptic_640_2x.py --amp
#   --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl_segments.py', '../_base_/datasets/coco_panoptic_640.py',
    '../_base_/schedules/eomt_dinov3_coco_2x.py'
]
model = dict(
    task='panoptic',
    num_classes=133,
    stuff_classes=list(range(80, 133)),
    # Biases of queries and values as in the released DINOv3 models, whose keys have none.
    backbone=dict(name='vit_base_patch16_dinov3_qkvb', img_size=(640, 640)),
    head=dict(num_blocks=3))
