# SegViT (arXiv:2210.05844) on eight images of CamVid, with its ResNet-18 from random weights.
#
# command: python tools/train.py configs/overfit/segvit_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(type='densevit.SegViT', embed_dim=128, num_heads=4))
