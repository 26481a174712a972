# SegViT (arXiv:2210.05844) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 80.4 mIoU on the same images after 800 iterations; 41.1, 69.1 and 78.1 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/segvit_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(type='densevit.SegViT', embed_dim=128, num_heads=4))
