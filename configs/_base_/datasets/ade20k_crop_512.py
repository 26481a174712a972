# ADE20K augmented as mmsegmentation does: a shorter side of 256 to 1024 pixels, crops of 512 of which no class fills
# more than three quarters; whole images with a shorter side of 512 for evaluation.
_base_ = 'ade20k_512.py'
crop_size = (512, 512)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(.5, 2.), resize_type='mmseg.Resize', keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.75),
    dict(type='mmseg.RandomFlip', prob=.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='mmseg.LoadAnnotations'),  # after Resize: predictions are compared at the original size
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
