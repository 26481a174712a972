# ViT-Adapter-S (arXiv:2205.08534) on DeiT (arXiv:2012.12877). In the forms that detectors read, with the channels
# that a neck takes: the `pyramid` (strides 4, 8, 16, 32), `three_levels` (8, 16, 32) and `one_level` (16).
backbone = dict(
    type='densevit.ViTAdapter',
    drop_path_rate=.2,
    # Windows in all blocks but these: an image of 800x1333 pixels has 4,200 patches.
    vit=dict(name='deit_small_patch16_224', pretrained=True, window_size=14, global_blocks=(2, 5, 8, 11)))
pyramid = dict(backbone=backbone, neck=dict(in_channels=[384, 384, 384, 384]))
three_levels = dict(backbone=dict(backbone, out_indices=(1, 2, 3)), neck=dict(in_channels=[384, 384, 384]))
one_level = dict(backbone=dict(backbone, out_indices=(2, )), neck=dict(in_channels=[384]))
rates = dict(layer_decay=.7)
