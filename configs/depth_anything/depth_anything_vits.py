# Depth Anything (V1) around DINOv2-S, relative disparity, 518 pixels: 24.8 M parameters.
#
# paper: Depth Anything: Unleashing the Power of Large-Scale Unlabeled Data, arXiv:2401.10891.
# published: 0.053 AbsRel, 0.972 delta1, NYUv2 zero-shot after a fit of scale and shift; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/depth_anything/depth_anything_vits.py 8 --amp
# not trained here.
#
# The authors trained on 62 million images that a teacher had labelled: the recipe here is for data of your own. V1
# reads the last four blocks. Weights: Apache-2.0.
_base_ = '../_base_/recipes/depth_anything.py'
model = dict(backbone=dict(out_indices=(8, 9, 10, 11)))
