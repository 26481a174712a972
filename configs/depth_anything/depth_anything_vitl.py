# Depth Anything (V1) around DINOv2-L, relative disparity, 518 pixels: 335.3 M parameters.
#
# paper: Depth Anything: Unleashing the Power of Large-Scale Unlabeled Data, arXiv:2401.10891.
# published: 0.043 AbsRel, 0.981 delta1, NYUv2 zero-shot after a fit of scale and shift; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_vitl.py 8 --amp
# not trained here.
#
# The authors trained on 62 million images that a teacher had labelled: the recipe here is for data of your own. V1
# reads the last four blocks. Weights: Apache-2.0.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(
    backbone=dict(name='vit_large_patch14_dinov2', out_indices=(20, 21, 22, 23)),
    head=dict(channels=(256, 512, 1024, 1024), width=256))
