# mmsegmentation's schedule for transformers on ADE20K: AdamW, a warm-up of 1500 steps, then linear decay. For a global
# batch of 16. Norms and positions have no weight decay.
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=160000, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(.9, .999), weight_decay=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., no_decay=('norms', 'pos_embed', 'cls_token')))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1., eta_min=0., by_epoch=False, begin=1500, end=160000)
]
