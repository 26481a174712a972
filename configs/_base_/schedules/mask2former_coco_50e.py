# Mask2Former's recipe for COCO (arXiv:2112.01527, section 4.1), for a global batch of 16: 50 epochs, a tenth of the
# learning rate in the backbone, and a tenth of all rates from 8/9 and again from 26/27 of the run. The authors train in
# 16-bit mixed precision: add --amp.
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=368750, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=.05),
    clip_grad=dict(max_norm=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(
        layer_decay=1., backbone_lr_mult=.1, no_decay=('norms', 'embeddings', 'relative_position_bias_table')))
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[327778, 355092], gamma=.1)
