# Mask2Former (arXiv:2112.01527) in miniature, to be compared with eomt_tiny_nuclei: 6.4 M parameters against 5.7 M, the
# same data, crops, optimiser and time of training, from random weights. A ResNet-18, 2 layers of the pixel decoder and
# 3 of the Transformer decoder, of width 128.
#
# Trained here: 7.7 mask AP (19.0 AP50, 6.2 AP75) on the 80 validation images, and still rising. 1200 iterations of 8
# crops of 256x256, bfloat16, in 75 minutes on one CPU core, of which an iteration takes about twice as long as one of
# eomt_tiny_nuclei (35 mask AP after as many, 44 after the 2400 of the same time). The weights help nobody and are not in
# the package.
#
# Command:  python tools/train.py configs/tiny/mask2former_tiny_nuclei.py --amp
# Test:     python tools/test.py configs/tiny/mask2former_tiny_nuclei.py work_dirs/mask2former_tiny_nuclei/iter_1200.pth
_base_ = ['../_base_/default_runtime.py', '../_base_/preprocessors/segments.py', '../_base_/datasets/nuclei.py']
num_classes = 1
max_iters = 1200  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
model = dict(
    type='densevit.MaskSegmentor',
    task='instance',
    num_classes=num_classes,
    data_preprocessor=dict(pad_size_divisor=32),
    # The last stage is half as wide as in a ResNet-18, to have about as many parameters as eomt_tiny_nuclei.
    backbone=dict(type='densevit.TimmPyramid', name='resnet18d', channels=(64, 128, 256, 256)),
    head=dict(
        type='densevit.Mask2FormerNet',
        num_queries=120,
        embed_dim=128,
        num_heads=4,
        encoder_layers=2,
        encoder_ffn_dim=256,
        decoder_layers=3,
        decoder_ffn_dim=256,
        mask_dim=64),
    criterion=dict(num_points=2048),
    test_cfg=dict(top_k=100))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=100, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=400)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.006, priority='NORMAL')]
default_hooks = dict(checkpoint=dict(interval=200))
