# COCO 2017, panoptic, augmented as kMaX-DeepLab (arXiv:2207.04044) does in the authors' code: a scale of 0.2 to 2 times
# the crop's, a change of colours, a crop, a flip. The data preprocessor of kmax_r50.py pads what is smaller than the
# crop, after the normalisation, in training and in evaluation.
#
# The authors also paste segments of another image, shrunk to half the scale, into each. Where a crop has few labels (at
# most 4096 pixels, counted in every fourth row and column), they take another image; here a crop without any label is
# drawn again.
_base_ = 'coco_panoptic_640.py'
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
                ratio_range=(.2, 2.),
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
