# DEIMv2 on COCO (arXiv:2509.20787, and the authors' configs): squares of 640 pixels, rates that stay and then fall by a
# cosine to a half, the ViT at a share of them, a global batch of 32. Here the size S; a config changes the sizes.
# What differs: mosaic, mix-up and copy-blend (dense one-to-one) are not there, nor the matcher that follows IoU and scores
# in the last epochs, so the published AP is that of the authors' checkpoints and not to be expected of a training here.
_base_ = '../default_runtime.py'
num_classes = 80
data_root = 'data/coco'
epoch = 3696  # iterations of 32 images
sizes = [(side, side) for side in range(480, 801, 32)]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.Expand', mean=[0, 0, 0]),
    dict(type='mmdet.MinIoURandomCrop'),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='RandomChoiceResize', scales=sizes, resize_type='mmdet.Resize', keep_ratio=False),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        with_masks=False,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        with_masks=False,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.InstanceMetric', metric='bbox')
test_evaluator = val_evaluator
model = dict(
    type='densevit.Detector',
    num_classes=num_classes,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    # The authors' ViT-Tiny: DINOv3's layers without registers, with biases of keys and without a final norm.
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_small_patch16_dinov3_qkvb',
        pretrained=False,
        img_size=640,
        embed_dim=192,
        num_heads=3,
        num_reg_tokens=0,
        attn_type='rope',
        norm_out=False,
        out_indices=(3, 7, 11)),
    head=dict(
        type='densevit.DEIM',
        embed_dim=192,
        num_queries=300,
        num_layers=4,
        ffn_dim=512,
        encoder_ffn_dim=512,
        side_dim=16,
        expansion=.34,
        num_blocks=2),
    test_cfg=dict(top_k=300))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., backbone_lr_mult=.05, no_decay=('vectors', 'pos_embed')),
    clip_grad=dict(max_norm=.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min_ratio=.5, by_epoch=False, begin=64 * epoch, end=120 * epoch)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=132 * epoch, val_interval=4 * epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.0001, gamma=1000, priority='NORMAL')
]
