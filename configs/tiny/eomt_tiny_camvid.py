# EoMT (arXiv:2503.19108) in miniature: an EfficientNet-Lite0 with ImageNet weights as the stem, its last stage dilated to
# stride 16, and 5 ViT blocks of width 192 of which 2 process 24 queries; stem maps are added while masks are upscaled.
# 5.7 M parameters, on the 367 training images of CamVid.
#
# Trained here: 60.3 mIoU (89.8 pixel accuracy) on the 233 test images, single scale; 68.0 mIoU on the 101 validation
# images, 51.4, 62.0 and 66.1 after 400, 800 and 1200 iterations; the mode of the training labels gives 17.0. 1550
# iterations of 8 crops, bfloat16, in 2 hours on one shared CPU core. Thin classes are the weakest on the test images: pole
# 18.8, fence 33.1, bicyclist 34.1, sign 35.8. The weights are in the package (eomt_tiny_camvid), with the curve in their
# card.
#
# The stem's weights are downloaded by timm (huggingface.co/timm/tf_efficientnet_lite0.in1k, Apache-2.0).
#
# Command:  python tools/train.py configs/tiny/eomt_tiny_camvid.py --amp
# Test:     python tools/test.py configs/tiny/eomt_tiny_camvid.py densevit/weights/bundled/eomt_tiny_camvid.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/camvid.py']
num_classes = 11
max_iters = 1550  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
model = dict(
    type='densevit.MaskSegmentor',
    num_classes=num_classes,
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(256, 352)),
    backbone=dict(
        type='densevit.PlainViT',
        pretrained=True,
        # The last stage is dilated, so that its map has stride 16, too.
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        img_size=(256, 352),
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        drop_path_rate=.1),
    head=dict(type='densevit.EoMT', num_queries=24, num_blocks=2, lateral=True),
    criterion=dict(num_points=2048),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(stem_lr_mult=.25),  # it has ImageNet's weights, the blocks have none
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=100, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=400)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(type='densevit.MaskAnnealingHook'),
    dict(type='mmengine.EMAHook', momentum=.004, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=100))
