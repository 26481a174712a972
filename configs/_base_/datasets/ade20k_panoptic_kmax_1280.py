# ADE20K, panoptic, augmented as kMaX-DeepLab (arXiv:2207.04044) does in the authors' code: that of
# coco_panoptic_kmax_1280.py with a scale of 0.5 to 2 times the crop's.
_base_ = 'ade20k_panoptic_640.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3:5] = [dict(type='densevit.ScaleColourCropFlip', size=1280, scales=(.5, 2.))]
test_pipeline[1] = dict(type='mmdet.Resize', scale=(1280, 1280), keep_ratio=True, backend='pillow')
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
