# Depth Anything V2 around DINOv2-S, relative disparity, 518 pixels: 24.8 M parameters.
#
# paper: Depth Anything V2, arXiv:2406.09414.
# published: no published number checked here.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_v2_vits.py 8 --amp
# not trained here.
#
# The authors trained a teacher on synthetic images and students on 62 million that it labelled: the recipe here is for
# data of your own. Weights: Apache-2.0.
_base_ = '../_base_/recipes/depth_anything.py'
