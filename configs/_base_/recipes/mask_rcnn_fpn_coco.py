# Mask R-CNN with FPN on COCO as ViT-Adapter and ViT-CoMer train it: mmdet's own model, data and runtime, the
# augmentation of DETR (arXiv:2005.12872), AdamW with layer-wise decay, 12 epochs. A config adds the backbone and the
# channels of its maps. For a global batch of 16.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py'
]
sizes = [(side, 1333) for side in range(480, 801, 32)]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=sizes, resize_type='mmdet.Resize', keep_ratio=True)],
            [
                dict(
                    type='RandomChoiceResize',
                    scales=[(400, 1333), (500, 1333), (600, 1333)],
                    resize_type='mmdet.Resize',
                    keep_ratio=True),
                dict(
                    type='mmdet.RandomCrop',
                    crop_type='absolute_range',
                    crop_size=(384, 600),
                    allow_negative_crop=True),
                dict(type='RandomChoiceResize', scales=sizes, resize_type='mmdet.Resize', keep_ratio=True)
            ]
        ]),
    dict(type='mmdet.RandomCrop', crop_type='absolute_range', crop_size=(1024, 1024), allow_negative_crop=True),
    dict(type='mmdet.PackDetInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=.05),
    constructor='densevit.LayerDecayConstructor',
    # Biases, norms and layer scales have no weight decay. Positions do: the authors' code means to spare them, but
    # looks for a name that they do not have.
    paramwise_cfg=dict(layer_decay=.7, rule='beit', no_decay=('vectors', )))
