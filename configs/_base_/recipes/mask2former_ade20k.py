# Mask2Former (arXiv:2112.01527) on ADE20K, 512x512, as ViT-Adapter trains it: mmseg's model with another schedule. A
# config adds the backbone and the channels of its maps.
_base_ = 'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py'
crop_size = (512, 512)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations', reduce_zero_label=True),
    dict(type='densevit.ScaleCropFlip', size=512, scale=(2048, 512)),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(
    # Windows are cut by test_cfg; padding before that would leave the head with the size of the whole image.
    data_preprocessor=dict(size=crop_size, test_cfg=None),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-5, betas=(.9, .999), weight_decay=.05),
    constructor='densevit.LayerDecayConstructor',
    # The authors' code counts the queries and the last layers of the head to the embedding.
    paramwise_cfg=dict(
        layer_decay=.95,
        rule='beit',
        no_decay=('vectors', ),
        as_embedding=tuple(f'decode_head.{part}'
                           for part in ('mask_embed', 'cls_embed', 'level_embed', 'query_embed', 'query_feat'))))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1., eta_min=0., by_epoch=False, begin=1500, end=160000)
]
