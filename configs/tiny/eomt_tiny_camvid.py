# EoMT (arXiv:2503.19108) in miniature: a ResNet-18 stem to stride 16, 5 ViT blocks of width 192, trained from scratch on
# the 367 training images of CamVid.
#
# Command:  python tools/train.py configs/tiny/eomt_tiny_camvid.py --amp
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/camvid.py']
num_classes = 11
max_iters = 3800
model = dict(
    type='densevit.MaskSegmentor',
    num_classes=num_classes,
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(256, 320)),
    backbone=dict(
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        img_size=(256, 320),
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
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=200),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=200, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=750)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.MaskAnnealingHook'),
    dict(type='mmengine.EMAHook', momentum=.002, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=250))
