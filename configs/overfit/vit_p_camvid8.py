# ViT-P (arXiv:2505.19795) on eight images of CamVid: new classes for the masks that the bundled eomt_tiny_camvid
# proposes, by a ViT of three blocks behind a ResNet-18, from random weights.
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
            type='densevit.EoMT',
            num_queries=24,
            num_blocks=2,
            lateral=True,
            backbone=dict(
                type='densevit.PlainViT',
                stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
                img_size=(256, 320),
                embed_dim=192,
                depth=5,
                num_heads=6,
                class_token=False,
                no_embed_class=True)),
        proposer_weights='densevit/weights/bundled/eomt_tiny_camvid.safetensors'))
