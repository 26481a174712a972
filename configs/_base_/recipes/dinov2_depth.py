# Depth of a frozen DINOv2-S (arXiv:2304.07193, section 7.4) on NYUv2, by DPT or a linear map of four blocks that are
# not normed; up to 10 m. For a global batch of 16; rate and schedule are those of DINOv3's linear depth.
_base_ = ['../default_runtime.py', '../datasets/nyu_416x544.py']
model = dict(
    type='densevit.MonocularDepth',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True, pad_size_divisor=14),
    backbone=dict(
        type='densevit.PlainViT',
        name='vit_small_patch14_dinov2',
        pretrained=True,
        img_size=(518, 518),
        norm_out=False,
        frozen_stages=12,
        pos_embed_antialias=False,
        pos_embed_offset=.1,
        out_indices=(2, 5, 8, 11)))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, betas=(.9, .999), weight_decay=.01),
    constructor='densevit.LayerDecayConstructor')
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=12800),
    dict(type='CosineAnnealingLR', eta_min=0., by_epoch=False, begin=12800, end=38400)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=38400, val_interval=3840)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
