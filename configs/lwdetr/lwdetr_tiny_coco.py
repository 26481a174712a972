# LW-DETR-T on COCO, squares of 640 pixels: 12.1 M parameters, 11.2 GFLOPs, 2.0 ms on a T4 (TensorRT, fp16).
#
# paper: LW-DETR: A Transformer Replacement to YOLO for Real-Time Detection, arXiv:2406.03459.
# published: 42.6 box AP, table 1, after Objects365; github.com/Atten4Vis/LW-DETR.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/lwdetr/lwdetr_tiny_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoints (huggingface.co/xbsu/LW-DETR, Apache-2.0) load as they are; those for COCO have 91 classes,
# of which its 80 are taken. The paper begins with Objects365:
# --load-from LWDETR_tiny_30e_objects365.pth --new-classes.
# Without it, the ViT learns from random weights.
_base_ = '../_base_/recipes/lwdetr_coco.py'
model = dict(
    backbone=dict(depth=6, global_blocks=(1, 3, 5), out_indices=(1, 3, 5)),
    head=dict(num_queries=100),
    test_cfg=dict(top_k=100))
