# As ade20k_crop_512.py with a shorter side of 320 to 1280 pixels, crops of 640, and whole images with a shorter side of
# 640 for evaluation.
_base_ = 'ade20k_crop_512.py'
crop_size = (640, 640)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 640), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(2048, 640), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations'),  # after Resize: predictions are compared at the original size
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
