# COCO 2017, instances (80 classes): images and instances_{train,val}2017.json in data/coco. See data/README.md; a file
# of other classes is read by its own categories.
#
# The augmentation of EoMT (arXiv:2503.19108, appendix A), as in coco_panoptic_640.py; crowds are left out in training.
data_root = 'data/coco'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_mask=True),
    dict(type='densevit.ScaleJitterCrop', size=640),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.ResizeAndPad', size=640),
    dict(type='densevit.PackWithTruth')  # with crowds, as the file has them
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.InstanceMetric')
test_evaluator = val_evaluator
