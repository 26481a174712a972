# ViT-P (arXiv:2505.19795) on eight images of CamVid: new classes for the masks of the Mask2Former that
# mask2former_camvid8.py has learned, by a ViT of three blocks behind a ResNet-18, from random weights.
#
# command: python tools/train.py configs/overfit/vit_p_camvid8.py --amp
_base_ = '../_base_/recipes/overfit_camvid8.py'
model = dict(
    type='densevit.MaskSegmentor',
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        img_size=(256, 320),
        embed_dim=192,
        depth=3,
        num_heads=6),
    head=dict(
        type='densevit.ViTP',
        alpha=1.,  # the classes are the points' alone
        proposer=dict(
            type='densevit.Mask2FormerNet',
            num_queries=24,
            embed_dim=128,
            encoder_layers=2,
            encoder_ffn_dim=256,
            decoder_layers=3,
            decoder_ffn_dim=256,
            mask_dim=128,
            backbone=dict(
                type='densevit.TimmPyramid', name='resnet18d', pretrained=False, out_indices=(1, 2, 3, 4))),
        proposer_weights='work_dirs/mask2former_camvid8/iter_800.pth'))
