# Cascade Mask R-CNN (arXiv:1712.00726) on COCO as ViTDet (arXiv:2203.16527) trains it, otherwise as mask_rcnn.py. The
# stages' losses have mmdet's weights 1, 0.5 and 0.25; detectron2 weighs them alike and hands a third of each gradient
# to the backbone. It reads the `pyramid` of a file in _base_/backbones, which a config names beside this one.
#
# published: 54.0, 57.6, 58.7 box AP with ViTDet-B, L, H on MAE (detectron2, projects/ViTDet/README.md).
_base_ = 'mask_rcnn.py'
norm = dict(type='densevit.LayerNorm2d', eps=1e-6)
rcnn = [
    dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=iou,
            neg_iou_thr=iou,
            min_pos_iou=iou,
            match_low_quality=False,
            ignore_iof_thr=-1),
        sampler=dict(type='RandomSampler', num=512, pos_fraction=.25, neg_pos_ub=-1, add_gt_as_proposals=True),
        mask_size=28,
        pos_weight=-1,
        debug=False) for iou in (.5, .6, .7)
]
model = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, .5, .25],
        bbox_head=[
            dict(
                type='Shared4Conv1FCBBoxHead',
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                norm_cfg=norm,
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder', target_means=[0.] * 4, target_stds=[std, std, 2 * std, 2 * std]),
                reg_class_agnostic=True,
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.),
                loss_bbox=dict(type='L1Loss', loss_weight=1.)) for std in (1 / 10, 1 / 20, 1 / 30)
        ]),
    train_cfg=dict(rcnn=rcnn))
