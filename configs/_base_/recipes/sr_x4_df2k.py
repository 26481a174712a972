# Classical super-resolution x4 as SwinIR and the papers after it train it (BasicSR's and KAIR's options): DF2K, that is
# DIV2K's 800 and Flickr2K's 2650 images in data/DF2K/HR, made small by MATLAB's bicubic; patches of 64 pixels, flips and
# turns, L1, Adam without weight decay, halved at four steps, averaged weights. Global batch 32. Set5 to validate on, in
# data/sr_test (data/README.md); PSNR and SSIM of luma without a border of 4 pixels.
# What differs: images are made small as they are read, not beforehand, with a margin that is cut off.
_base_ = '../default_runtime.py'
scale = 4
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=320),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', scale=scale, steps=[dict(type='densevit.BicubicDown', scale=scale)]),
    dict(type='densevit.PairedCrop', size=256, place='center'),
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', scale=scale, steps=[dict(type='densevit.BicubicDown', scale=scale)], seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(type='densevit.RestorationDataset', data_root='data/DF2K', hq='HR', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.RestorationDataset',
        data_root='data/sr_test/Set5/x4',
        hq='HR',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric', crop_border=scale, y_channel=True)
test_evaluator = val_evaluator
model = dict(type='densevit.Restorer')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=2e-4, betas=(.9, .99)),
    constructor='densevit.LayerDecayConstructor')
param_scheduler = [
    dict(type='MultiStepLR', milestones=[250000, 400000, 450000, 475000], gamma=.5, by_epoch=False, begin=0, end=500000)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=500000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.001, priority='NORMAL')]
