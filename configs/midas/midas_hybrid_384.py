# MiDaS 3 with DPT-Hybrid: a ViT-B/16 behind three stages of a ResNet-50, at 384 pixels, 123 M parameters, relative disparity.
#
# paper: Vision Transformers for Dense Prediction, arXiv:2103.13413.
# published: 0.0934 AbsRel, ETH3D zero-shot; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/midas/midas_hybrid_384.py 8 --amp
# not trained here.
#
# Weights: MIT.
_base_ = '../_base_/recipes/midas.py'
model = dict(
    backbone=dict(name='vit_base_r50_s16_384.orig_in21k_ft_in1k', stem_out=(1, 2), out_indices=(8, 11)),
    head=dict(channels=(256, 512, 768, 768)))
