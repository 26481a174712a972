# Depth Anything V2 around DINOv2-B, relative disparity, 518 pixels: 97.5 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number checked here.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vitb.py 8 --amp
# not trained here.
#
# The authors trained a teacher on synthetic images and students on 62 million that it labelled: the recipe here is for
# data of your own. Weights: CC-BY-NC-4.0 (no commercial use).
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_base_patch14_dinov2', out_indices=(2, 5, 8, 11)),
    head=dict(channels=(96, 192, 384, 768), width=128))
