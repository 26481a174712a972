# Mask R-CNN on COCO as ViTDet (arXiv:2203.16527) trains it, 1024x1024, 100 epochs: mmdet's own model, data and
# runtime with detectron2's projects/ViTDet heads, augmentation and schedule. The backbone is a ViT-B; a config
# changes its size. For a global batch of 64.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'mmdet::common/lsj-100e_coco-instance.py']
norm = dict(type='densevit.LayerNorm2d', eps=1e-6)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),  # every image is 1024x1024, in tests too
    backbone=dict(
        _delete_=True,
        type='densevit.SimpleFeaturePyramid',
        top_block=True,
        vit=dict(
            family='sam',  # timm's ViT with decomposed relative positions
            img_size=1024,
            patch_size=16,
            embed_dim=768,
            depth=12,
            num_heads=12,
            drop_path_rate=.1,
            pos_embed_grid=14,  # stored as MAE has them; stretched to an image's grid each time
            pos_embed_antialias=False,
            window_size=14,
            global_blocks=(2, 5, 8, 11)),
        # https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth
        init_cfg=dict(type='Pretrained', checkpoint='pretrained/mae_pretrain_vit_base.pth')),
    neck=None,  # the pyramid is part of the backbone
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm),
        mask_head=dict(norm_cfg=norm)))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='mmdet.CocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
max_iters = 184375  # 100 epochs of 64 images
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(.9, .999), weight_decay=.1),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=.7, rule='beit', no_decay=('norms', 'pos_embed')))
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=250),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[163889, 177546], gamma=.1)
]
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
