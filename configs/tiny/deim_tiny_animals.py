# DEIMv2 (arXiv:2509.20787) in miniature for photographs of animals: the trunk of eomt_tiny_animals (an EfficientNet-Lite0 as the
# stem of 5 ViT blocks of width 192), a convolutional pyramid beside it, the hybrid encoder and 3 decoder layers of width 128
# with 60 queries, on 1400 photographs of PASCAL VOC. 7.2 M parameters.
#
# Trained here: 43.8 box AP (65.8 AP50, 47.8 AP75) on the 445 validation images of 5 kinds of animals; 12.3, 22.7, 32.0, 38.2, 39.7
# and 43.1 after 325, 650, 975, 1300, 1625 and 1950 iterations. 2000 iterations of 8 crops, bfloat16, in 2 hours on one shared CPU
# core. The run was stopped after 990 iterations and resumed with the shorter schedule that stands here.
# The weights are in the package (deim_tiny_animals), with the curve in their card.
#
# Command:  python tools/train.py configs/tiny/deim_tiny_animals.py --amp
# Test:     python tools/test.py configs/tiny/deim_tiny_animals.py densevit/weights/bundled/deim_tiny_animals.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/voc_animals_boxes.py']
num_classes = 5
max_iters = 2000  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
model = dict(
    type='densevit.Detector',
    num_classes=num_classes,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    # The trunk of eomt_tiny_animals, which has learned masks of the same photographs: its stem's weights need no download.
    backbone=dict(
        type='densevit.PlainViT',
        init_cfg=dict(type='Pretrained', checkpoint='eomt_tiny_animals', prefix='network.backbone'),
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        img_size=(320, 320),  # the grid of the learned positions; images are of any size
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        out_indices=(0, 2, 4),
        norm_out=False,
        drop_path_rate=.05),
    head=dict(
        type='densevit.DEIM',
        embed_dim=128,
        num_queries=60,
        num_layers=3,
        num_heads=4,
        ffn_dim=512,
        encoder_ffn_dim=512,
        side_dim=16,
        expansion=.5,
        num_blocks=1,
        num_denoising=40),
    test_cfg=dict(top_k=100))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-2, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.5, stem_lr_mult=.1),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=100),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=1000, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=325)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.004, gamma=200, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=100))
