# EoMT (arXiv:2503.19108) in miniature: an EfficientNet-Lite0 with ImageNet weights, its last stage dilated to stride 16, as
# the stem of 5 ViT blocks of width 192, of which 2 process 24 queries; stem maps are added while masks are upscaled. 5.7 M
# parameters. A config adds the number of classes, the crop (data_preprocessor.size, backbone.img_size) and how long to
# train; the stem has weights where the blocks have none, and learns at a share of their rate (stem_lr_mult).
_base_ = '../preprocessors/label_maps.py'
model = dict(
    type='densevit.MaskSegmentor',
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        type='densevit.PlainViT',
        pretrained=True,
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        drop_path_rate=.1),
    head=dict(type='densevit.EoMT', num_queries=24, num_blocks=2, lateral=True),
    criterion=dict(num_points=2048),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(stem_lr_mult=.1),
    clip_grad=dict(max_norm=5.))
train_cfg = dict(type='densevit.SeededIterLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(type='densevit.MaskAnnealingHook'),
    dict(type='mmengine.EMAHook', momentum=.004, priority='NORMAL')
]
