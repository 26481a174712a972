# MiDaS 3.1 with BEiT-L/16 at 512 pixels, 345 M parameters, relative disparity.
#
# paper: MiDaS v3.1: A Model Zoo for Robust Monocular Relative Depth Estimation, arXiv:2307.14460.
# published: 0.0659 AbsRel, ETH3D zero-shot; the authors' README.
# hardware: for 8 GPUs with 4 images each.
# command: tools/dist_train.sh configs/midas/midas_beitl_512.py 8 --amp
# not trained here.
#
# Weights: MIT.
_base_ = '../_base_/recipes/midas.py'
size = (512, 512)
train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(type='densevit.DepthCrop', size=size)
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type='densevit.ResizeForDepth', size=size, divisor=32, cover=True, cubic=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(backbone=dict(name='beit_large_patch16_512.in22k_ft_in22k_in1k', img_size=size))
