# ADE20K, panoptic (150 classes in ADE20K's order, of which 100 things): ADEChallengeData2016 in data/ade, with the
# panoptic files that tools/prepare_ade20k_panoptic.py writes beside its images. See data/README.md.
#
# The augmentation of EoMT (arXiv:2503.19108, appendix A): that of coco_panoptic_640.py after the change of colours of
# ade20k_512.py.
data_root = 'data/ade/ADEChallengeData2016'
stuff_classes = [  # for model.stuff_classes: 50 of the 150 classes, among the others
    0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68, 77,
    79, 84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145
]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadPanopticSegments'),
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='densevit.ScaleJitterCrop', size=640),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.ResizeAndPad', size=640),
    dict(type='densevit.PackWithTruth')  # the metric compares at the original size
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.PanopticADE20KDataset',
        data_root=data_root,
        ann_file='ade20k_panoptic_train.json',
        data_prefix=dict(img='images/training', seg='ade20k_panoptic_train'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.PanopticADE20KDataset',
        data_root=data_root,
        ann_file='ade20k_panoptic_val.json',
        data_prefix=dict(img='images/validation', seg='ade20k_panoptic_val'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.PanopticMetric')
test_evaluator = val_evaluator
