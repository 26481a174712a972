# VPNeXt (arXiv:2502.16654) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 84.3 mIoU on the same images after 800 iterations; 55.5, 75.5 and 81.5 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/vpnext_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.PixelSegmentor',
    head=dict(type='densevit.VPNeXt'))
