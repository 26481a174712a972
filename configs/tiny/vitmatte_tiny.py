# ViTMatte (arXiv:2305.15272) in miniature: an EfficientNet-Lite0 that also sees the trimap as the stem of 5 ViT blocks of
# width 192, a residual block behind the last, and a slim decoder of details. The backbone begins as that of
# eomt_tiny_animals.
#
# There are no opacities at hand, so foregrounds with exact ones are rendered: animals and people of VOC's photographs, cut
# out a little inside their outlines, and random blobs, with sharp, unsharp or moved edges and with strands of hair in the
# colours of their roots, a tenth with veils, over the photographs of BSDS500. Validation renders 100 others without veils,
# of VOC's validation photographs over those of COCO. ViTMatte's maps of details are joined by those of the stem, whose
# edges need not be learned. 5.8 M parameters.
#
# Trained here: SAD 2.60 (thousands of pixels, in the unknown regions), where .5 in the unknown has 11.15; with a tenth of
# veils, as in training, 3.14 of 11.33; 5.95, 4.32, 3.85, 3.55, 3.36, 3.22, 3.17 of these after each 400 iterations. 3000
# iterations of 6 crops in bfloat16, 69 minutes on one crowded CPU core. The weights are in the package (vitmatte_tiny).
#
# Command:  python tools/train.py configs/tiny/vitmatte_tiny.py --amp
# Test:     python tools/test.py configs/tiny/vitmatte_tiny.py densevit/weights/bundled/vitmatte_tiny.safetensors
# Veils:    the same with --cfg-options test_dataloader.dataset.pipeline.2.veil=.1
_base_ = '../_base_/default_runtime.py'
max_iters = 3000  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = 160
data_root = 'data/voc_animals'
objects = (8, 10, 12, 13, 15, 17)  # VOC's cat, cow, dog, horse, person, sheep
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.RenderForeground', objects=objects),
    dict(type='densevit.MattingCrop', size=size, scale=(.6, 1.2)),
    dict(type='densevit.ComposeForeground', backgrounds='data/bsd200'),
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='densevit.RandomTrimap', width=(1, 20)),
    dict(type='densevit.PackMatting')
]
val_pipeline = [
    dict(type='densevit.SeedAugmentation', fixed=0),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.RenderForeground', objects=objects, veil=0),
    dict(type='densevit.ComposeForeground', backgrounds='data/coco_tiny/images'),
    dict(type='densevit.RandomTrimap', width=(1, 20)),
    dict(type='densevit.PackMatting')
]
# predict gives pictures as they are, and their trimaps.
test_pipeline = [dict(type='densevit.LoadImage'), dict(type='densevit.PackMatting')]
train_dataloader = dict(
    batch_size=6,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.Photographs',
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.Photographs',
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        indices=100,
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.MattingMetric', pictures=8)
test_evaluator = val_evaluator
model = dict(
    type='densevit.MattingModel',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
    backbone=dict(
        type='densevit.PlainViT',
        init_cfg=dict(type='Pretrained', checkpoint='eomt_tiny_animals', prefix='network.backbone.'),
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        stem_out=(0, 1),
        in_chans=4,  # colours and the trimap
        img_size=(288, 288),  # the grid of the learned positions; images are of any size
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        drop_path_rate=.05),
    head=dict(
        type='densevit.ViTMatte',
        residual_blocks=(4, ),
        detail_channels=(24, 32, 48),
        fusion_channels=(80, 48, 24, 16),
        hidden_dim=16))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.5),
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=60),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=60, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=400)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(type='mmengine.EMAHook', momentum=.01, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=50))
