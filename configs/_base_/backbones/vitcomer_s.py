# ViT-CoMer-S (arXiv:2403.07392) on DINOv2 (arXiv:2304.07193). In the forms that detectors read, with the channels
# that a neck takes: the `pyramid` (strides 4, 8, 16, 32), `three_levels` (8, 16, 32) and `one_level` (16).
backbone = dict(
    type='densevit.ViTCoMer',
    drop_path_rate=.2,
    vit=dict(
        name='vit_small_patch14_dinov2',
        # timm solves for the kernel of the larger patch; positions keep their 37x37 grid until an image comes.
        patch_size=16,
        img_size=592,
        pretrained=True,
        pos_embed_antialias=False,
        # Windows of 14x14 patches in all blocks but these; padding as in the authors' code.
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        pad_mode='official'))
pyramid = dict(backbone=backbone, neck=dict(in_channels=[384, 384, 384, 384]))
three_levels = dict(backbone=dict(backbone, out_indices=(1, 2, 3)), neck=dict(in_channels=[384, 384, 384]))
one_level = dict(backbone=dict(backbone, out_indices=(2, )), neck=dict(in_channels=[384]))
rates = dict(layer_decay=.7)
