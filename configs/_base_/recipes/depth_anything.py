# Depth Anything (arXiv:2401.10891) around DINOv2-S: images of 518 pixels, inverse depth up to a scale and a shift. The
# rate of the backbone is a tenth of the head's, as in the authors' fine-tuning; for a global batch of 32.
_base_ = ['../default_runtime.py', '../datasets/depth_518.py']
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
        pos_embed_antialias=False,
        pos_embed_offset=.1,
        out_indices=(2, 5, 8, 11)),
    head=dict(
        type='densevit.DPTDepth', channels=(48, 96, 192, 384), width=64, readout='ignore', kind='relative_disparity'))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(.9, .999), weight_decay=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.1))
param_scheduler = [dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=0, end=160000)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
