# Denoising of colour images at sigma 25 as SwinIR trains it (KAIR's options): DIV2K, Flickr2K, BSD500 and WED in
# data/DFWB, patches of 128 pixels, Charbonnier's loss, Adam, global batch 8. Validated on CBSD68 in data/CBSD68 with noise
# that follows from the name of the file, drawn in double precision by numpy: other draws give other hundredths of a decibel.
_base_ = '../default_runtime.py'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=128),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', steps=[dict(type='densevit.GaussianNoise', sigma=25)]),
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', steps=[dict(type='densevit.GaussianNoise', sigma=25)], seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(type='densevit.RestorationDataset', data_root='data/DFWB', hq='HR', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.RestorationDataset', data_root='data/CBSD68', hq='HR', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric')
test_evaluator = val_evaluator
model = dict(type='densevit.Restorer', criterion=dict(kind='charbonnier', eps=1e-9**.5))  # KAIR adds 1e-9
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=2e-4, betas=(.9, .999)),
    constructor='densevit.LayerDecayConstructor')
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[800000, 1200000, 1400000, 1500000],
        gamma=.5,
        by_epoch=False,
        begin=0,
        end=1600000)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=1600000, val_interval=10000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.001, priority='NORMAL')]
