# PEM's recipe from its configuration files, for a global batch of 32: AdamW, a tenth of the learning rate in the
# backbone, cosine decay without a warm-up. The authors train in 16-bit mixed precision: add --amp. A config
# adds the learning rate and the length.
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', weight_decay=.05),
    clip_grad=dict(max_norm=.01),
    constructor='densevit.LayerDecayConstructor',
    paramwise_cfg=dict(layer_decay=1., backbone_lr_mult=.1, no_decay=('norms', 'embeddings')))
