# LW-DETR on COCO as its authors train it (arXiv:2406.03459, section 4.1, and their scripts): a CAE v2 ViT in 4x4
# windows, 13 groups of queries, squares of 448 to 896 pixels, of an image or of a crop, 60 epochs at constant rates.
# Here a ViT of 10 layers of width 192 with one level (P4), for a global batch of 32: a config changes the sizes. What
# differs: the authors' decoder learns at 0.7 (or 0.5) of the rate of the projector and the heads, here at the same.
_base_ = '../default_runtime.py'
num_classes = 80
data_root = 'data/coco'
max_iters = 221790  # 60 epochs of 32 images
sizes = [(side, side) for side in range(448, 897, 64)]
square = dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False)
any_square = dict(type='RandomChoiceResize', scales=sizes, resize_type='mmdet.Resize', keep_ratio=False)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(
        type='RandomChoice',
        transforms=[[any_square],
                    [
                        dict(
                            type='RandomChoiceResize',
                            scales=[(9999, 400), (9999, 500), (9999, 600)],
                            resize_type='mmdet.Resize',
                            keep_ratio=True),
                        dict(
                            type='mmdet.RandomCrop',
                            crop_type='absolute_range',
                            crop_size=(384, 600),
                            allow_negative_crop=True), any_square
                    ]]),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [dict(type='densevit.LoadImage'), square, dict(type='densevit.PackWithTruth')]
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
        pad_size_divisor=64),  # 4 windows of whole patches along each axis; other sizes are padded and masked
    backbone=dict(
        type='densevit.PlainViT',
        img_size=224,  # the grid of the stored positions
        patch_size=16,
        embed_dim=192,
        depth=10,
        num_heads=12,
        init_values=.1,
        class_token=False,
        num_windows=4,
        global_blocks=(2, 4, 5, 8),
        out_indices=(2, 4, 5, 9),
        norm_out=False,
        pos_embed_antialias=False),
    head=dict(
        type='densevit.LWDETR',
        embed_dim=256,
        num_queries=300,
        num_groups=13,
        num_layers=3,
        num_heads=8,
        num_cross_heads=16,
        num_points=2,
        ffn_dim=2048,
        scales=(1., )),
    test_cfg=dict(top_k=300))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    constructor='densevit.LayerDecayConstructor',
    # 1.5 times the rate, for 1.5e-4, times the square of the authors' lr_component_decay
    paramwise_cfg=dict(layer_decay=.8, rule='beit', backbone_lr_mult=.735, no_decay=('vectors', 'pos_embed')),
    clip_grad=dict(max_norm=.1))
param_scheduler = [dict(type='ConstantLR', factor=1., by_epoch=False, begin=0, end=max_iters)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=10000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.0003, priority='NORMAL')]
