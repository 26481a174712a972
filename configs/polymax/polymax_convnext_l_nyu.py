# PolyMaX around ConvNeXt-L on NYUv2, in metres: 64 clusters of pixels.
#
# paper: PolyMaX: General Dense Prediction with Mask Transformer, arXiv:2311.05770.
# published: 0.067 AbsRel, 0.969 delta1, Papers with Code; with kMaX-DeepLab's decoder in the place of this one.
# hardware: for 8 GPUs with 2 images each.
# command: tools/dist_train.sh configs/polymax/polymax_convnext_l_nyu.py 8 --amp
# not trained here.
#
# The authors published neither code nor weights; rate and schedule are not theirs and not tuned. Bins that adapt to the
# image, as in AdaBins (arXiv:2011.14141): --cfg-options model.head.centres=ordered.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/nyu_416x544.py']
model = dict(
    type='densevit.MonocularDepth',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(
        type='densevit.TimmPyramid',
        name='convnext_large.fb_in22k',
        pretrained=True,
        norm_out=True,
        drop_path_rate=.4),
    head=dict(type='densevit.PolyMaXDepth', num_queries=64, max_depth=10.))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(.9, .999), weight_decay=.05),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.1),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1000),
    dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=1000, end=50000)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=50000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
