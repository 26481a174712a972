# Depth Anything (V1) around DINOv2-B, relative disparity, 518 pixels: 97.5 M parameters.
#
# paper: Depth Anything: Unleashing the Power of Large-Scale Unlabeled Data, arXiv:2401.10891.
# published: 0.046 AbsRel, 0.979 delta1, NYUv2 zero-shot after a fit of scale and shift; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_vitb.py 8 --amp
# not trained here.
#
# The authors trained on 62 million images that a teacher had labelled: the recipe here is for data of your own. V1
# reads the last four blocks. Weights: Apache-2.0.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_base_patch14_dinov2', out_indices=(8, 9, 10, 11)),
    head=dict(channels=(96, 192, 384, 768), width=128))
