# COCO 2017, instances (80 classes): images and instances_{train,val}2017.json in data/coco. See data/README.md; a file
# of other classes is read by its own categories.
#
# The augmentation of EoMT (arXiv:2503.19108, appendix A), as in coco_panoptic_640.py; crowds are left out in training.
data_root = 'data/coco'
crop_size = (640, 640)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_mask=True),
    dict(
        type='densevit.UntilSegments',
        transforms=[
            dict(type='mmdet.RandomFlip', prob=.5),
            dict(
                type='RandomResize',
                scale=crop_size,
                ratio_range=(.1, 2.),
                resize_type='densevit.ResizeSegments',
                keep_ratio=True),
            dict(type='mmdet.Pad', size=crop_size, pad_val=dict(img=0, masks=0, seg=255)),
            dict(type='mmdet.RandomCrop', crop_size=crop_size, allow_negative_crop=True)
        ]),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=crop_size, keep_ratio=True, backend='pillow'),
    dict(type='densevit.PadInput', size=crop_size),
    # The metric takes the annotations, crowds included, as the file has them.
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'annotations'))
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
