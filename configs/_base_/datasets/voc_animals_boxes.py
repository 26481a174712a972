# PASCAL VOC photographs of animals, long side 352, with boxes of five kinds in COCO's form, 1400 for training and 445 for
# validation under data/voc_animals. See data/README.md.
data_root = 'data/voc_animals'
metainfo = dict(
    classes=('dog', 'cat', 'sheep', 'horse', 'cow'),
    palette=[(0, 120, 255), (255, 170, 0), (0, 210, 230), (170, 80, 255), (0, 200, 120)])
size = (320, 320)
# Boxes are predicted as shares of the image: crops are brought to the size at which images are tested.
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomCrop', crop_type='relative_range', crop_size=(.5, .5), allow_negative_crop=True),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
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
        ann_file='boxes_train.json',
        data_prefix=dict(img='images'),
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
        ann_file='boxes_val.json',
        data_prefix=dict(img='images'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.InstanceMetric', metric='bbox')
test_evaluator = val_evaluator
