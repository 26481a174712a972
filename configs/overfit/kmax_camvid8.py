# kMaX-DeepLab (arXiv:2207.04044) on eight images of CamVid, with its ResNet-18 from random weights.
#
# command: python tools/train.py configs/overfit/kmax_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(type='densevit.KMaXDeepLab', num_queries=24))
