# LW-DETR (arXiv:2406.03459) in miniature for blood cells: an EfficientNet-Lite0 with ImageNet weights, to stride 16, as
# the stem of 4 ViT blocks of width 192, one level of width 128, 8 groups of 60 queries in training and 3 decoder
# layers. 6.4 M parameters. 3 classes, 205 images of BCCD.
#
# Trained here: 53.7 box AP (84.1 AP50, 58.7 AP75) on the 72 test images; by class red cells 55.8, white cells 77.1,
# platelets 28.3. On the 87 validation images 55.1 (83.4 AP50); 29.6, 42.7, 47.7, 51.6, 53.5 and 54.1 after 150, 400,
# 600, 800, 1000 and 1200 iterations. 1500 iterations of 4 images, bfloat16, in 55 minutes on one shared CPU core. The
# run was lengthened on the way: it was resumed with the schedule that stands here.
#
# The stem's weights are downloaded by timm (huggingface.co/timm/tf_efficientnet_lite0.in1k, Apache-2.0).
#
# Command:  python tools/train.py configs/tiny/lwdetr_tiny_bccd_288.py --amp
# Test:     python tools/test.py configs/tiny/lwdetr_tiny_bccd_288.py work_dirs/lwdetr_tiny_bccd_288/iter_1500.pth
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/bccd.py']
num_classes = 3
max_iters = 1500  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = (288, 384)
# Boxes are predicted as shares of the image: crops are brought to the size at which images are tested.
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
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
model = dict(
    type='densevit.Detector',
    num_classes=num_classes,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_size_divisor=16),
    backbone=dict(
        type='densevit.PlainViT',
        pretrained=True,
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(3, )),
        img_size=size,  # the grid of the learned positions; images are of any size
        embed_dim=192,
        depth=4,
        num_heads=3,
        class_token=False,
        no_embed_class=True,
        out_indices=(1, 3),
        norm_out=False,
        drop_path_rate=.05),
    head=dict(
        type='densevit.LWDETR',
        embed_dim=128,
        num_queries=60,
        num_groups=8,
        num_layers=3,
        num_heads=8,
        num_cross_heads=8,
        num_points=4,
        ffn_dim=512,
        scales=(1., ),
        projector_blocks=2),
    test_cfg=dict(top_k=100))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(stem_lr_mult=.25),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=850, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(
        type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.008, gamma=100, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=25))
