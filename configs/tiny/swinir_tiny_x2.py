# SwinIR (arXiv:2108.10257) in miniature for super-resolution x2: two groups of four Swin blocks of width 48 in windows of
# 8 pixels, pixel shuffle at once, and what is learned is added to bicubic interpolation. 0.23 M parameters.
#
# Trained here: 36.83 PSNR (0.9557 SSIM) of luma without a border of 2 pixels on Set5, where bicubic interpolation has
# 33.67 (0.9303); 34.65 of RGB; 35.33, 36.49 and 36.75 after 500, 1000 and 1500 iterations. 2000 iterations of 4 crops,
# bfloat16, in 77 minutes on one crowded CPU core; the first 1423 with a decay that would have ended at 2500. The authors'
# light SwinIR has 38.14. The weights are in the package (swinir_tiny_x2), with the curve in their card.
#
# Command:  python tools/train.py configs/tiny/swinir_tiny_x2.py --amp
# Test:     python tools/test.py configs/tiny/swinir_tiny_x2.py densevit/weights/bundled/swinir_tiny_x2.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/photos_x2.py']
max_iters = 2000  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
model = dict(
    type='densevit.Restorer',
    head=dict(
        type='densevit.SwinIR',
        scale=2,
        embed_dim=48,
        depths=(4, 4),
        num_heads=3,
        upsampler='pixelshuffledirect',
        skip='bicubic',
        drop_path_rate=0.))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=8e-4, betas=(.9, .99), weight_decay=1e-4, fused=True),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=.5))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=False, begin=100, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=500)
train_dataloader = dict(batch_size=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.004, gamma=200, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=100))
