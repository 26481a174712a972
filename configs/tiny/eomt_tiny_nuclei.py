# EoMT (arXiv:2503.19108) in miniature, for many small objects of one kind: a ResNet-18 stem to stride 16 and 6 ViT
# blocks of width 192, of which 3 process one query for each patch (head.query_cell, not in the paper); no masked
# attention. 5.7 M parameters, from random weights, on 300 images of nuclei.
#
# Trained here: 44.2 mask AP (76.0 AP50, 44.2 AP75) on the 80 validation images. 2400 iterations of 8 crops of 256x256,
# bfloat16, in 76 minutes on one CPU core. The weights are in the package (eomt_tiny_nuclei), with the curve in their
# card.
#
# Command:  python tools/train.py configs/tiny/eomt_tiny_nuclei.py --amp
# Test:     python tools/test.py configs/tiny/eomt_tiny_nuclei.py densevit/weights/bundled/eomt_tiny_nuclei.safetensors
_base_ = ['../_base_/default_runtime.py', '../_base_/preprocessors/segments.py', '../_base_/datasets/nuclei.py']
num_classes = 1
max_iters = 2400  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
model = dict(
    type='densevit.MaskSegmentor',
    task='instance',
    num_classes=num_classes,
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        type='densevit.PlainViT',
        stem=dict(model_name='resnet18d', out_indices=(1, 2, 3)),
        # Positions of one window of 8 patches, repeated: the same at any image size.
        img_size=128,
        pos_embed='tile',
        window_size=8,
        global_blocks=(0, 1, 2, 3, 4, 5),
        embed_dim=192,
        depth=6,
        num_heads=3,
        class_token=False,
        no_embed_class=True),
    # A query for each patch of 16 pixels.
    head=dict(
        type='densevit.EoMT',
        num_queries=1,
        query_cell=1,
        num_blocks=3,
        masked_attention=False,
        lateral=True,
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
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.004, priority='NORMAL')]
default_hooks = dict(checkpoint=dict(interval=200))
