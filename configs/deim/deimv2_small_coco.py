# DEIMv2-S on COCO, squares of 640 pixels: 9.7 M parameters, 25.6 GFLOPs, 5.78 ms on a T4 (TensorRT, fp16).
#
# paper: Real-Time Object Detection Meets DINOv3, arXiv:2509.20787.
# published: 50.9 box AP, table 1; github.com/Intellindust-AI-Lab/DEIMv2.
# hardware: 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/deim/deimv2_small_coco.py 8 --amp
# not trained here.
#
# The authors' checkpoint loads as it is. Without it, the ViT learns from random weights.
_base_ = '../_base_/recipes/deimv2_coco.py'
