# MAT (arXiv:2203.15270) in miniature: eight adjusted blocks of width 64 in windows of 8 tokens, which begin with what
# interpolation over a pyramid puts into the holes. 0.88 M parameters.
#
# Trained here: 17.88 hole PSNR on Set14 (23.99 dB of all pixels, 0.855 SSIM), with the holes below, which
# cover 26 % of its pixels; OpenCV's Telea with radius 3 has 17.23, the interpolation alone 17.50. 6000 iterations of 4
# crops of 128 pixels, bfloat16, in an hour on one crowded CPU core; the first 2336 of them under a decay that was to end
# at 4500. At a rate of 1e-3 it diverged after 400 iterations. The weights are in the package.
#
# Command:  python tools/train.py configs/tiny/mat_tiny.py --amp
# Test:     python tools/test.py configs/tiny/mat_tiny.py densevit/weights/bundled/mat_tiny.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/photos_x2.py']
max_iters = 6000  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair'),
    dict(type='densevit.PairedCrop', size=128),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Holes'),
    dict(type='densevit.PackPair')
]
# Holes follow from the names of the files; predict takes a mask.
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Holes', seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root='data/sr_test/Set14/x4', hq='HR', lq=None, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(crop_border=0, y_channel=False, figures=['PSNR', 'SSIM', 'hole_PSNR'])
test_evaluator = val_evaluator
model = dict(
    type='densevit.Restorer',
    head=dict(
        type='densevit.MAT',
        dim=64,
        widths=(16, 24, 48),
        depths=(1, 2, 2, 2, 1),
        num_heads=4,
        window_sizes=(8, 8, 8, 8, 8),
        mlp_ratio=2.,
        skip='pyramid'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, betas=(.9, .99), weight_decay=1e-4, fused=True),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=200, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.002, gamma=200, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=250))
