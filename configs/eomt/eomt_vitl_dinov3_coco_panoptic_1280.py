# EoMT-L with DINOv3 (arXiv:2508.10104), COCO panoptic segmentation, 1280x1280.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 58.9 PQ, the authors' model zoo (github.com/tue-mps/eomt).
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitl_dinov3_coco_panoptic_1280.py
#   --launcher pytorch --amp
# 1 GPU: python tools/train.py configs/eomt/eomt_vitl_dinov3_coco_panoptic_1280.py --amp
#   --cfg-options train_dataloader.batch_size=16
# not trained here.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/eomt_vitl_segments.py', '../_base_/datasets/coco_panoptic_1280.py',
    '../_base_/schedules/eomt_dinov3_coco.py'
]
model = dict(
    task='panoptic',
    num_classes=133,
    stuff_classes=list(range(80, 133)),
    # Biases of queries and values as in the released DINOv3 models, whose keys have none.
    backbone=dict(name='vit_large_patch16_dinov3_qkvb', img_size=(1280, 1280)))
# The first masked block is annealed from the start: from steps 0, 29564, 44346 and 59128, over 3000 steps for the first
# and 14782 for the others, as shares of the run.
custom_hooks = [
    dict(
        type='densevit.MaskAnnealingHook',
        starts=[step / 88692 for step in (0, 29564, 44346, 59128)],
        length=[step / 88692 for step in (3000, 14782, 14782, 14782)])
]
