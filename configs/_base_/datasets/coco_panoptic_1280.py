# The data and pipeline of coco_panoptic_640.py at twice the size.
_base_ = 'coco_panoptic_640.py'
crop_size = (1280, 1280)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadPanopticSegments'),
    dict(
        type='densevit.UntilSegments',
        transforms=[
            dict(type='mmdet.RandomFlip', prob=.5),
            # Pillow's filter, unlike OpenCV's, widens to shrink an image.
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
    # The metric reads the annotations at the original size.
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'seg_map_path', 'segments_info'))
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
