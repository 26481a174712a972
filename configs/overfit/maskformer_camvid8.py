# MaskFormer (arXiv:2107.06278) on eight images of CamVid, with its ResNet-18 from random weights.
#
# Trained here: 85.0 mIoU on the same images after 800 iterations; 29.8, 73.9 and 82.4 after 200, 400 and 600.
# command: python tools/train.py configs/overfit/maskformer_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    head=dict(
        type='densevit.MaskFormerNet', num_queries=24, embed_dim=128, decoder_layers=3, ffn_dim=256, mask_dim=128))
