# Depth Anything V2 around DINOv2-L, relative disparity, 518 pixels: 335.3 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number checked here.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vitl.py 8 --amp
# not trained here.
#
# The authors trained a teacher on synthetic images and students on 62 million that it labelled: the recipe here is for
# data of your own. Weights: CC-BY-NC-4.0 (no commercial use).
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_large_patch14_dinov2', out_indices=(4, 11, 17, 23)),
    head=dict(channels=(256, 512, 1024, 1024), width=256))
