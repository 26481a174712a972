# ADE20K, 150 classes (https://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip), unpacked in data/ade.
#
# The augmentation of EoMT (arXiv:2503.19108, appendix A) in its order, with one difference: brightness is shifted and
# contrast scaled about zero as in SSD (arXiv:1512.02325), where the authors scale brightness, and contrast about the
# mean. Crops are drawn again while no label is left in them.
data_root = 'data/ade/ADEChallengeData2016'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    # 9 on OpenCV's hue circle of 180 are the 18 degrees of SSD.
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='densevit.ScaleJitterCrop', size=512, scales=(.5, 2.), annotations='label_map'),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    # The shorter side becomes the window's, the longer one whatever it must: only an image 19 times as long as wide
    # meets the bound.
    dict(type='mmseg.Resize', scale=(9999, 512), keep_ratio=True, backend='pillow'),
    dict(type='mmseg.LoadAnnotations'),  # after Resize: predictions are compared at the original size
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='mmseg.ADE20KDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmseg.ADE20KDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
