# Cityscapes, 19 classes (https://www.cityscapes-dataset.com: leftImg8bit and gtFine), unpacked in data/cityscapes, with
# the *_labelTrainIds.png that csCreateTrainIdLabelImgs of pip's cityscapesscripts writes beside the labels.
#
# The pipeline is that of ade20k_512.py at twice the size.
data_root = 'data/cityscapes'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='densevit.ScaleJitterCrop', size=1024, scales=(.5, 2.), annotations='label_map'),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(9999, 1024), keep_ratio=True, backend='pillow'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='mmseg.CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmseg.CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
