# MaskFormer's recipe for ADE20K with Swin (arXiv:2107.06278, section 4.1), for a global batch of 16: a warm-up of 1500
# steps, polynomial decay, one learning rate for all.
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=.01),
    clip_grad=dict(max_norm=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., no_decay=('norms', 'embeddings', 'relative_position_bias_table')))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=0)
]
