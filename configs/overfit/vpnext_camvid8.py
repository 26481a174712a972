# VPNeXt (arXiv:2502.16654) on eight images of CamVid, with its ResNet-18 from random weights.
#
# command: python tools/train.py configs/overfit/vpnext_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.PixelSegmentor',
    head=dict(type='densevit.VPNeXt'))
