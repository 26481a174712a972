# Holes in photographs of Places: Places365-Standard in data/places/{train,val} (its validation images), crops of 512
# pixels and global batch 32 as MAT has them; Adam and a first stage of L1, as networks have that learn without a
# discriminator; the rate and its end are ours. Holes are larger and cover more than those that densevit.Holes makes by default; they are not the
# authors'.
_base_ = '../default_runtime.py'
holes = dict(type='densevit.Holes', share=(.1, .7), width=(12, 100), length=(16, 256), side=(32, 300))
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair'),
    dict(type='densevit.PairedCrop', size=512),
    dict(type='densevit.FlipAndTurn'),
    holes,
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(holes, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(type='densevit.RestorationDataset', data_root='data/places', hq='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.RestorationDataset', data_root='data/places', hq='val', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric', figures=['PSNR', 'SSIM', 'hole_PSNR'])
test_evaluator = val_evaluator
model = dict(type='densevit.Restorer', head=dict(type='densevit.MAT'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=2e-4, betas=(.9, .99)),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=1000, end=300000)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=300000, val_interval=10000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.001, priority='NORMAL')]
