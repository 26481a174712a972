# LW-DETR-S on COCO, squares of 640 pixels: 14.6 M parameters, 16.6 GFLOPs, 2.9 ms on a T4 (TensorRT, fp16).
#
# paper: LW-DETR: A Transformer Replacement to YOLO for Real-Time Detection, arXiv:2406.03459.
# published: 48.0 box AP, table 1, after Objects365; github.com/Atten4Vis/LW-DETR.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/lwdetr/lwdetr_small_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoints (huggingface.co/xbsu/LW-DETR, Apache-2.0) load as they are; those for COCO have 91 classes,
# of which its 80 are taken. The paper begins with Objects365:
# --load-from LWDETR_small_30e_objects365.pth --new-classes.
# Without it, the ViT learns from random weights.
_base_ = '../_base_/recipes/lwdetr_coco.py'
