# PEM (arXiv:2402.19422) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 88.0 mIoU on the same images after 800 iterations; 63.2, 81.6 and 85.0 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/pem_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(
        type='densevit.PEM',
        num_queries=24,
        embed_dim=128,
        decoder_layers=3,
        ffn_dim=256,
        pixel_dim=64,
        mask_dim=128),
    criterion=dict(num_points=2048))
