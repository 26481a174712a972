# COCO 2017, panoptic (133 classes, of which 80 things): images, panoptic_{train,val}2017.json and their PNG files in
# data/coco. See data/README.md; a file of other classes is read by its own categories.
#
# The augmentation of EoMT (arXiv:2503.19108, appendix A): flips, a scale of 0.1 to 2 times the crop's, black pads, a
# crop, drawn again while no segment is left in it.
data_root = 'data/coco'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadPanopticSegments'),
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
        type='densevit.PanopticDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img='train2017', seg='annotations/panoptic_train2017'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.PanopticDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017', seg='annotations/panoptic_val2017'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.PanopticMetric')
test_evaluator = val_evaluator
