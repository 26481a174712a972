# ECO-M2F (arXiv:2404.15244) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 88.8 mIoU on the same images after 800 iterations; 63.7, 83.1 and 86.3 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/eco_mask2former_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(
        type='densevit.ECOMask2FormerNet',
        num_queries=24,
        embed_dim=128,
        encoder_layers=3,
        first_exit=1,
        encoder_ffn_dim=256,
        decoder_layers=3,
        decoder_ffn_dim=256,
        mask_dim=128),
    criterion=dict(num_points=2048))
