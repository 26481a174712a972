# DINO (arXiv:2203.03605) on a ViT-Adapter (arXiv:2205.08534) and on eight images of COCO with 22 objects of 17 of its
# classes, until it knows them by heart: a proof that mmdetection's detector learns from our backbone, not a model to use.
# A small ViT behind an EfficientNet-Lite0 with ImageNet weights, no augmentation.
#
# Trained here: 87.1 box AP (100.0 AP50) on the same images after 300 iterations of 2, bfloat16, in 11 minutes on one
# thread of a CPU with many other tasks; 45.5 (86.8) and 66.8 (96.1) after 100 and 200.
# command: python tools/train.py configs/overfit/dino_vitadapter_coco8.py --amp
_base_ = [
    '../_base_/detectors/dino.py', '../_base_/backbones/vitadapter_s.py', '../_base_/recipes/overfit_coco8.py'
]
max_iters = 300
width = 128
attention = dict(self_attn_cfg=dict(embed_dims=width), ffn_cfg=dict(embed_dims=width, feedforward_channels=512))
model = dict(
    num_queries=60,
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], pad_size_divisor=32),
    backbone=dict(
        _base_.three_levels.backbone,
        conv_inplane=32,
        drop_path_rate=0.,
        vit=dict(
            pretrained=True,
            stem=dict(model_name='tf_efficientnet_lite0', out_indices=(3, )),
            img_size=256,
            embed_dim=192,
            depth=4,
            num_heads=3)),
    neck=dict(in_channels=[192, 192, 192], out_channels=width),
    encoder=dict(num_layers=2, layer_cfg=attention),
    decoder=dict(num_layers=3, layer_cfg=dict(attention, cross_attn_cfg=dict(embed_dims=width))),
    positional_encoding=dict(num_feats=width // 2),
    bbox_head=dict(embed_dims=width),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)))
train_dataloader = dict(_base_.eight.train_dataloader, batch_size=2)
val_dataloader = _base_.eight.test_dataloader
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='densevit.InstanceMetric', metric='bbox')
test_evaluator = val_evaluator
optim_wrapper = dict(
    optimizer=dict(lr=4e-4, fused=True),
    clip_grad=dict(max_norm=1.),
    paramwise_cfg=dict(_delete_=True, stem_lr_mult=.25))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=150, end=max_iters)
]
train_cfg = dict(_delete_=True, type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=100)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=2))
