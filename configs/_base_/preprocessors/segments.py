# Images in RGB, normalised with ImageNet's mean and deviation, with their masks, boxes and panoptic label maps
# (mmdetection's). Images of a batch are padded to the largest, after the normalisation.
model = dict(
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255))
