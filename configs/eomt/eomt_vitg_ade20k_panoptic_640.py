# EoMT-g with DINOv2 (arXiv:2304.07193), ADE20K panoptic segmentation, 640x640.
#
# paper: Your ViT is Secretly an Image Segmentation Model, arXiv:2503.19108.
# published: 51.3 PQ, Kerssies et al. 2025, Table 4.
# hardware: 4 GPUs with 4 images each; time and memory were not measured.
# command: torchrun --nproc_per_node=4 tools/train.py configs/eomt/eomt_vitg_ade20k_panoptic_640.py --launcher pytorch
#   --amp --load-from COCO --new-classes
# 1 GPU: python tools/train.py configs/eomt/eomt_vitg_ade20k_panoptic_640.py --amp --load-from COCO --new-classes
#   --cfg-options train_dataloader.batch_size=16
# COCO is the checkpoint of eomt_vitg_coco_panoptic_640, with which the authors begin.
# not trained here.
_base_ = 'eomt_vitl_ade20k_panoptic_640.py'
model = dict(backbone=dict(name='vit_giant_patch14_reg4_dinov2'), head=dict(num_blocks=5))
