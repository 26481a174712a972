# RF-DETR on COCO (arXiv:2511.09554, and rfdetr's own defaults): LW-DETR around a DINOv2-S in 2x2 windows, each with a
# class token of its own, LayerNorm in the projector, 100 epochs at constant rates. Here the nano, squares of 384
# pixels, for a global batch of 16; a config changes the resolution and the number of decoder layers. What differs:
# rfdetr begins with weights trained on Objects365, here DINOv2's are brought to patches of 16; its decoder learns at
# 0.7 of the rate.
_base_ = 'lwdetr_coco.py'
train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
sizes = [(side, side) for side in range(288, 513, 32)]  # 3 and 4 multiples of two windows of whole patches around 384
train_pipeline[4]['transforms'][0][0]['scales'] = sizes
train_pipeline[4]['transforms'][1][2]['scales'] = sizes
test_pipeline[1]['scale'] = (384, 384)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
max_iters = 739300  # 100 epochs of 16 images
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='densevit.PlainViT',
        name='vit_small_patch14_dinov2',
        pretrained=True,
        patch_size=16,
        img_size=384,
        num_windows=2,
        prefix_per_window=True,
        # Block 12 does not exist, and the maps are taken before each global block: rfdetr counts its taps from 1.
        global_blocks=(3, 6, 9),
        out_indices=(2, 5, 8, 11)),
    head=dict(num_layers=2, projector_norm='layer'))
param_scheduler = [dict(type='ConstantLR', factor=1., by_epoch=False, begin=0, end=max_iters)]
train_cfg = dict(max_iters=max_iters)
custom_hooks = [
    dict(type='mmengine.EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.007, gamma=100, priority='NORMAL')
]
