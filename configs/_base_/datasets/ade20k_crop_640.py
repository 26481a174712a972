# As ade20k_crop_512.py with a shorter side of 320 to 1280 pixels, crops of 640, and whole images with a shorter side of
# 640 for evaluation.
_base_ = 'ade20k_crop_512.py'
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[3] = dict(type='densevit.ScaleCropFlip', size=640, scale=(2048, 640))
test_pipeline[1] = dict(type='mmseg.Resize', scale=(2048, 640), keep_ratio=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
