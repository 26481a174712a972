# ViTDet's ViT-B (arXiv:2203.16527, section 3) on MAE (arXiv:2111.06377): windows of 14x14 patches, four global
# blocks, decomposed relative positions, and the simple feature pyramid. In the forms that detectors read, with the
# channels that a neck takes: the `pyramid` of strides 4 to 64, which needs no neck, `three_levels` (8, 16, 32), and
# `one_level` (16).
# The weights are those of https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth, as a file.
backbone = dict(
    type='densevit.SimpleFeaturePyramid',
    vit=dict(
        family='sam',  # timm's ViT with decomposed relative positions
        img_size=1024,
        patch_size=16,
        embed_dim=768,
        depth=12,
        num_heads=12,
        drop_path_rate=.1,
        pos_embed_grid=14,  # stored as MAE has them; stretched to an image's grid each time
        pos_embed_antialias=False,
        window_size=14,
        global_blocks=(2, 5, 8, 11)),
    init_cfg=dict(type='Pretrained', checkpoint='pretrained/mae_pretrain_vit_base.pth'))
pyramid = dict(backbone=dict(backbone, top_block=True), neck=None)  # the pyramid is part of the backbone
three_levels = dict(backbone=dict(backbone, scale_factors=(2., 1., .5)), neck=dict(in_channels=[256, 256, 256]))
one_level = dict(backbone=dict(backbone, scale_factors=(1., )), neck=dict(in_channels=[256]))
rates = dict(layer_decay=.7)
