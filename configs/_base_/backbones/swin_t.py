# Swin-T (arXiv:2103.14030) on ImageNet-1K. In the forms that detectors read, with the channels that a neck takes: the
# `pyramid` (strides 4, 8, 16, 32), `three_levels` (8, 16, 32) and `one_level` (32).
backbone = dict(
    type='densevit.TimmPyramid',
    name='swin_tiny_patch4_window7_224.ms_in1k',
    norm_out=True,
    drop_path_rate=.2,
    pretrained=True)
pyramid = dict(backbone=backbone, neck=dict(in_channels=[96, 192, 384, 768]))
three_levels = dict(backbone=dict(backbone, out_indices=(1, 2, 3)), neck=dict(in_channels=[192, 384, 768]))
one_level = dict(backbone=dict(backbone, out_indices=(3, )), neck=dict(in_channels=[768]))
rates = dict(layer_decay=.8)  # not tuned
