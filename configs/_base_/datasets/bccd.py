# BCCD (github.com/Shenggan/BCCD_Dataset, MIT): 640x480 pictures of blood smears, boxes of three kinds of cells, 205, 87
# and 72 images for training, validation and test, in COCO's form under data/bccd. See data/README.md.
data_root = 'data/bccd'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'), palette=[(220, 60, 60), (70, 90, 230), (250, 190, 40)])
scale = (448, 336)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=scale, ratio_range=(.75, 1.25), resize_type='mmdet.Resize', keep_ratio=True),
    dict(type='mmdet.RandomCrop', crop_size=(320, 320), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=[.25, .25, .25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        with_masks=False,
        data_root=data_root,
        ann_file='coco_train.json',
        data_prefix=dict(img='JPEGImages'),
        metainfo=metainfo,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        with_masks=False,
        data_root=data_root,
        ann_file='coco_val.json',
        data_prefix=dict(img='JPEGImages'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        with_masks=False,
        data_root=data_root,
        ann_file='coco_test.json',
        data_prefix=dict(img='JPEGImages'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
val_evaluator = dict(type='densevit.InstanceMetric', metric='bbox')
test_evaluator = val_evaluator
