# Depth Anything V2 around DINOv2-g, relative disparity, 518 pixels: 1.3 B parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number checked here.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vitg.py 8 --amp
# not trained here.
#
# The authors trained a teacher on synthetic images and students on 62 million that it labelled: the recipe here is for
# data of your own. Weights: CC-BY-NC-4.0, announced and not published.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_giant_patch14_dinov2', out_indices=(9, 19, 29, 39)),
    head=dict(channels=(1536, 1536, 1536, 1536), width=384))
