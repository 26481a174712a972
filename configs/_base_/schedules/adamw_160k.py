# ViT-Adapter's and ViT-CoMer's schedule for ADE20K: AdamW with layer-wise decay, a warm-up of 1500 steps, then linear
# decay. For a global batch of 16.
_base_ = 'mmseg::_base_/schedules/schedule_160k.py'
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(.9, .999), weight_decay=.01),
    constructor='densevit.LayerDecayConstructor',
    # Biases, norms and layer scales have no weight decay. Positions do: the authors' code means to spare them, but
    # looks for a name that they do not have.
    paramwise_cfg=dict(layer_decay=.95, rule='beit', no_decay=('vectors', )))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1., eta_min=0., by_epoch=False, begin=1500, end=160000)
]
