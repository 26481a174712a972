# DEIMv2 on COCO (arXiv:2509.20787, and the authors' configs): squares of 640 pixels, rates that stay and then fall by a
# cosine to a half, the ViT at a share of them, a global batch of 32. Mosaics, mix-up and copy-blend (dense one-to-one,
# arXiv:2412.04234) and several sizes, each in its epochs; matches by scores and IoU in the last. Here the size S, 132
# epochs; a config changes sizes and epochs. What differs: the other images of a mosaic are from the whole data set, a
# crop asks all objects for an overlap with it, and weights and their mean do not return to the best of the epochs before
# when augmentation ends.
_base_ = '../default_runtime.py'
num_classes = 80
data_root = 'data/coco'
epoch = 3696  # iterations of 32 images
epochs = 132
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='densevit.DenseOneToOne', starts=(4 / epochs, 64 / epochs, 120 / epochs)),  # shares of the run, as all below
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
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
        pad_size_divisor=32,
        batch_augments=[
            dict(
                type='densevit.MixUpOrCopyBlend',
                mix_up_during=(4 / epochs, 64 / epochs),
                copy_blend_during=(4 / epochs, 120 / epochs)),
            dict(type='densevit.MultiScaleBatch', until=120 / epochs, repeat=20)
        ]),
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
    criterion=dict(late_matching=100 / epochs),
    test_cfg=dict(top_k=300))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., backbone_lr_mult=.05, no_decay=('vectors', 'pos_embed')),
    clip_grad=dict(max_norm=.1))
param_scheduler = [
    dict(type='mmdet.QuadraticWarmupLR', by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', eta_min_ratio=.5, by_epoch=False, begin=64 * epoch, end=120 * epoch)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=epochs * epoch, val_interval=4 * epoch)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ProgressOfRunHook'),  # which batch_augments and the criterion ask for
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.0001, gamma=1000, priority='NORMAL')
]
