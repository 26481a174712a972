_base_ = 'lwdetr_tiny_bccd_288.py'
max_iters = 800  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = (336, 448)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomCrop', crop_type='relative_range', crop_size=(.65, .65), allow_negative_crop=True),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=[.25, .25, .25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=200, end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=200)
