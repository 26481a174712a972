# How Restormer is trained (arXiv:2111.09881, section 4): patches of 128 pixels in batches of 64 that grow to 384 in batches
# of 8, flips and turns, L1, AdamW, a rate of 3e-4 that falls along a cosine from iteration 92,000 on, clipped gradients.
# A config adds the data. The length is written three times; change all in a copy of this file.
_base_ = '../default_runtime.py'
max_iters = 300000
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    # Beginning, side in pixels, and images of a batch of all GPUs: batch_size above is the first of these shared by 8.
    batch_sampler=dict(
        type='densevit.ProgressivePatches',
        stages=[(0, 128, 64), (92000 / max_iters, 160, 40), (156000 / max_iters, 192, 32),
                (204000 / max_iters, 256, 16), (240000 / max_iters, 320, 8), (276000 / max_iters, 384, 8)]))
val_dataloader = dict(
    batch_size=1, num_workers=2, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric')
test_evaluator = val_evaluator
model = dict(type='densevit.Restorer', head=dict(type='densevit.Restormer'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(.9, .999), weight_decay=1e-4),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=.01))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=False, begin=92000, end=max_iters)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
