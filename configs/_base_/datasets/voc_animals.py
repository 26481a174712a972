# PASCAL VOC photographs of animals, long side 352, with VOC's label maps (21 classes, 255 ignored), under
# data/voc_animals. Seven classes are kept; pixels of the other fourteen are ignored. See data/README.md.
data_root = 'data/voc_animals'
metainfo = dict(
    classes=('background', 'cat', 'cow', 'dog', 'horse', 'person', 'sheep'),
    palette=[[0, 0, 0], [255, 170, 0], [0, 200, 120], [0, 120, 255], [170, 80, 255], [255, 60, 90], [0, 210, 230]])
crop_size = (288, 288)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='RandomResize', scale=(352, 352), ratio_range=(.6, 1.8), keep_ratio=True),
    dict(type='Pad', size=crop_size, pad_val=dict(img=127, seg=255)),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.9),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(
        type='densevit.AlbumentationsTransform',
        transforms=[dict(type='Affine', rotate=(-10, 10), shear=(-5, 5), p=.3)]),
    # 9 on OpenCV's hue circle of 180 are the 18 degrees of SSD.
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(352, 352), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='mmseg.PascalVOCDataset',
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=metainfo,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmseg.PascalVOCDataset',
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=metainfo,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
