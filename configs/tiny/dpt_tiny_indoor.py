# DPT (arXiv:2103.13413) in miniature for rooms, as DPT-Hybrid: an EfficientNet-Lite0 as the stem of 5 ViT blocks of width
# 192; two maps of the stem and two of the blocks are fused. 5.8 M parameters, the backbone begins as that of
# eomt_tiny_animals. 459 images of NYU Depth v2 and 70 of RedKitchen, each of which comes three times as often; depth is
# learned as that of one canonical camera (arXiv:2307.10984), so that images of any focal length have metres.
#
# Trained here: 65.3 % delta1 and .194 AbsRel on the 124 rooms of NYU's validation, full image, without alignment (the
# per-pixel median of the training depth: 52.2 % and .303); 74.7 % and .171 with median alignment; 83.2 % delta1 on
# RedKitchen's validation (median: 58.6 %). 2200 iterations of 8 crops in bfloat16, 40 minutes on one shared CPU core; 42.0,
# 49.2, 57.5, 58.8, 59.9, 59.4, 60.2, 60.7, 66.0, 65.3, 65.3 % after each 200; checkpoints 50 iterations apart differ by up
# to 2 %. The run was stopped at iteration 1407 for its second stage. The weights are in the package (dpt_tiny_indoor).
# Parts of images alone, as until iteration 1408, left a bias: metres of whole views were 8 % (NYU) and 17 % (RedKitchen)
# too short.
#
# Command:    python tools/train.py configs/tiny/dpt_tiny_indoor.py --amp
# Test:       python tools/test.py configs/tiny/dpt_tiny_indoor.py densevit/weights/bundled/dpt_tiny_indoor.safetensors
# RedKitchen: the same with --cfg-options test_dataloader.dataset.data_root=data/redkitchen_rgbd
#             test_dataloader.dataset.data_prefix.depth_map_path=depth_reg
#             "test_dataloader.dataset.camera=(525.,525.,319.5,239.5)"
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/nyu_depth.py']
max_iters = 2200  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = (128, 176)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadDepth'),
    # Parts teach more, but what is enlarged is hardly seen to be: at the end metres are learned of views as wide as those
    # of tests.
    dict(
        type='densevit.InStages',
        stages=[(0., [dict(type='densevit.DepthCrop', size=size, scale=(.7, 1.), stretch=1.15)]),
                (.64, [dict(type='densevit.DepthCrop', size=size, scale=(.97, 1.), stretch=1.03)])]),
    dict(type='mmseg.PhotoMetricDistortion', hue_delta=9),
    dict(type='densevit.PackDepth')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.ResizeForDepth', size=size),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
kitchen = dict(
    type='densevit.DepthDataset',
    data_root='data/redkitchen_rgbd',
    ann_file='train.txt',
    data_prefix=dict(img_path='rgb', depth_map_path='depth_reg'),
    camera=(525., 525., 319.5, 239.5),
    pipeline=train_pipeline)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='densevit.JoinedDataset',
        datasets=[
            dict(
                type='densevit.DepthDataset',
                data_root='data/nyu_depth',
                ann_file='train.txt',
                data_prefix=dict(img_path='rgb', depth_map_path='depth'),
                camera=(259.4, 259.4, 157.5, 122.6),
                pipeline=train_pipeline),
            *3 * [kitchen]
        ]))
model = dict(
    type='densevit.MonocularDepth',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_size_divisor=16),
    backbone=dict(
        type='densevit.PlainViT',
        init_cfg=dict(type='Pretrained', checkpoint='eomt_tiny_animals', prefix='network.backbone.'),
        stem=dict(model_name='tf_efficientnet_lite0', out_indices=(1, 2, 4), output_stride=16),
        stem_out=(0, 1),
        out_indices=(2, 4),
        img_size=(288, 288),  # the grid of the learned positions; images are of any size
        embed_dim=192,
        depth=5,
        num_heads=6,
        class_token=False,
        no_embed_class=True,
        drop_path_rate=.1),
    head=dict(
        type='densevit.DPTDepth',
        channels=None,  # both maps of the blocks are fused at stride 16
        width=48,
        hidden_dim=16,
        readout='ignore',
        activation='exp',
        canonical_focal=200.),
    # Of the two conventions the one that weighs the scale of a whole image more: metres are to be right without alignment.
    criterion=dict(silog=10., silog_convention='eigen'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.5, stem_lr_mult=.3),
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=60),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=60, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='densevit.ChannelsLastHook'),
    dict(type='mmengine.EMAHook', momentum=.02, priority='NORMAL')
]
default_hooks = dict(checkpoint=dict(interval=50))
