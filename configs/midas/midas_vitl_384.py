# MiDaS 3.1 with DPT-Large: a ViT-L/16 at 384 pixels, 344 M parameters, relative disparity.
#
# paper: MiDaS v3.1: A Model Zoo for Robust Monocular Relative Depth Estimation, arXiv:2307.14460.
# published: 0.0888 AbsRel, ETH3D zero-shot; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/midas/midas_vitl_384.py 8 --amp
# not trained here.
#
# Weights: MIT.
_base_ = '../_base_/recipes/midas.py'
