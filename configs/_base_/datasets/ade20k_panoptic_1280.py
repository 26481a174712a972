# The data and pipeline of ade20k_panoptic_640.py at twice the size.
_base_ = 'ade20k_panoptic_640.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[4] = dict(type='densevit.ScaleJitterCrop', size=1280)
test_pipeline[1] = dict(type='densevit.ResizeAndPad', size=1280)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
