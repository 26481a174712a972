# Mask2Former (arXiv:2112.01527) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 90.6 mIoU on the same images after 800 iterations; 73.0, 85.2 and 89.0 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/mask2former_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(
        type='densevit.Mask2FormerNet',
        num_queries=24,
        embed_dim=128,
        encoder_layers=2,
        encoder_ffn_dim=256,
        decoder_layers=3,
        decoder_ffn_dim=256,
        mask_dim=128),
    criterion=dict(num_points=2048))
