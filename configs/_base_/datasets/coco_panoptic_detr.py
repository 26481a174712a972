# COCO 2017, panoptic, augmented as DETR (arXiv:2005.12872) does: a shorter side of 480 to 800 pixels, half of the time
# of a random crop of 384 to 600 pixels from an image with a shorter side of 400 to 600; whole images with a shorter
# side of 800 for evaluation.
_base_ = 'coco_panoptic_640.py'
scales = [(480, 1333), (512, 1333), (544, 1333), (576, 1333), (608, 1333), (640, 1333), (672, 1333), (704, 1333),
          (736, 1333), (768, 1333), (800, 1333)]
# Pillow's filter, unlike OpenCV's, widens to shrink an image.
resize = dict(
    type='RandomChoiceResize', scales=scales, resize_type='densevit.ResizeSegments', keep_ratio=True)
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(
    type='densevit.UntilSegments',
    transforms=[
        dict(type='mmdet.RandomFlip', prob=.5),
        dict(
            type='RandomChoice',
            transforms=[
                [resize],
                [
                    dict(
                        type='RandomChoiceResize', scales=[(400, 9999), (500, 9999), (600, 9999)],
                        resize_type='densevit.ResizeSegments', keep_ratio=True),
                    dict(
                        type='mmdet.RandomCrop', crop_type='absolute_range', crop_size=(384, 600),
                        allow_negative_crop=True),
                    resize
                ]
            ])
    ])
test_pipeline[1] = dict(type='mmdet.Resize', scale=(1333, 800), keep_ratio=True, backend='pillow')
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
