# ViT-P's recipe for its B on ADE20K, from its configuration files, for a global batch of 80: SGD, cosine decay without
# a warm-up, no weight decay; the authors give the point embedding 1e-2. They train in 16-bit mixed precision: add
# --amp.
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=19200, val_interval=1600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=9e-3, momentum=.9, weight_decay=0.),
    clip_grad=dict(max_norm=1.),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1.))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0., begin=0, T_max=19200)
