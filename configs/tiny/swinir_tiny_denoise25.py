# SwinIR (arXiv:2108.10257) in miniature for noise of sigma 25: two groups of two Swin blocks of width 32 in windows of 8
# pixels. 0.07 M parameters.
#
# Trained here: 30.29 dB PSNR (0.833 SSIM) of RGB on Set5, whose pictures with this noise have 20.81, as bytes; 30.05 after
# 500 iterations. 1000 iterations of 4 crops of 64 pixels, bfloat16, in 11 minutes on one crowded CPU core. The weights are
# in the package (swinir_tiny_denoise25), with the curve in their card.
#
# Command:  python tools/train.py configs/tiny/swinir_tiny_denoise25.py --amp
# Test:     python tools/test.py configs/tiny/swinir_tiny_denoise25.py
#           densevit/weights/bundled/swinir_tiny_denoise25.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/photos_x2.py']
max_iters = 1000  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
noise = [dict(type='densevit.GaussianNoise', sigma=25)]
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=64),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', steps=noise),
    dict(type='densevit.PackPair')
]
# Noise follows from the names of the files; predict gives pictures as they are.
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', steps=noise, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(hq='HR', lq=None, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(crop_border=0, y_channel=False)
test_evaluator = val_evaluator
model = dict(
    type='densevit.Restorer',
    head=dict(type='densevit.SwinIR', embed_dim=32, depths=(2, 2), num_heads=2, drop_path_rate=0.))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(.9, .99), weight_decay=1e-4, fused=True),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=.5))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=50, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.01, gamma=100, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=100))
