# DPT (arXiv:2103.13413) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 88.3 mIoU on the same images after 800 iterations; 54.4, 73.7 and 86.3 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/dpt_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.PixelSegmentor',
    head=dict(type='densevit.DPTNet', channels=(64, 64, 64, 64), width=64))
