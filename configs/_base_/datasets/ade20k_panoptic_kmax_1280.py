# ADE20K, panoptic, augmented as kMaX-DeepLab (arXiv:2207.04044) does in the authors' code: that of
# coco_panoptic_kmax_1280.py with a scale of 0.5 to 2 times the crop's.
_base_ = 'ade20k_panoptic_640.py'
crop_size = (1280, 1280)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadPanopticSegments'),
    dict(
        type='densevit.UntilSegments',
        transforms=[
            # Pillow's filter, unlike OpenCV's, widens to shrink an image.
            dict(
                type='RandomResize',
                scale=crop_size,
                ratio_range=(.5, 2.),
                resize_type='densevit.ResizeSegments',
                keep_ratio=True),
            dict(type='mmseg.PhotoMetricDistortion'),
            dict(type='mmdet.RandomCrop', crop_size=crop_size, allow_negative_crop=True),
            dict(type='mmdet.RandomFlip', prob=.5)
        ]),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=crop_size, keep_ratio=True, backend='pillow'),
    # The metric reads the annotations at the original size.
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'seg_map_path', 'segments_info'))
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
