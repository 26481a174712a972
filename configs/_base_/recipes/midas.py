# MiDaS 3.1 (arXiv:2307.14460): DPT around a ViT whose class token is projected into the patches, relative disparity.
# The authors mix 12 data sets by a multi-objective optimiser; here is one, with their loss. For a global batch of 32.
_base_ = ['../default_runtime.py', '../datasets/depth_518.py']
size = (384, 384)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.DepthCrop', size=size),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='densevit.PackDepth')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.ResizeForDepth', size=size, divisor=32, cover=True, cubic=True),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(
    type='densevit.MonocularDepth',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_large_patch16_384.augreg_in21k_ft_in1k',
        pretrained=True,
        img_size=size,
        norm_out=False,
        pos_embed_antialias=False,
        pos_embed_kernel='bilinear',
        out_indices=(5, 11, 17, 23)),
    head=dict(
        type='densevit.DPTDepth', channels=(256, 512, 1024, 1024), readout='project', kind='relative_disparity'),
    criterion=dict(ssi_alignment='median', trim=.2))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(.9, .999), weight_decay=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.1))
param_scheduler = [dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=0, end=160000)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
