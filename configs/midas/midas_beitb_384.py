# MiDaS 3.1 with BEiT-B/16 at 384 pixels, 112 M parameters, relative disparity.
#
# paper: MiDaS v3.1: A Model Zoo for Robust Monocular Relative Depth Estimation, arXiv:2307.14460.
# published: 0.0967 AbsRel, ETH3D zero-shot; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/midas/midas_beitb_384.py 8 --amp
# not trained here.
#
# Weights: MIT.
_base_ = '../_base_/recipes/midas.py'
model = dict(
    backbone=dict(name='beit_base_patch16_384.in22k_ft_in22k_in1k', out_indices=(2, 5, 8, 11)),
    head=dict(channels=(96, 192, 384, 768)))
