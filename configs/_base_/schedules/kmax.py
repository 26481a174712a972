# kMaX-DeepLab's recipe for COCO from its configuration files, for a global batch of 64: AdamW, a tenth of the learning
# rate in the backbone, 5000 steps of warm-up, no clipping of gradients. Batch norms are synchronised in distributed
# runs, which with 2 images on each of 32 GPUs they need. The authors train in 16-bit mixed precision: add --amp.
#
# Polynomial decay begins after the warm-up here and with the run there, where rates are so some 3 to 5 per cent lower.
# What differs in the augmentation is said in coco_panoptic_kmax_1280.py, what in the model in kmax_r50.py.
sync_bn = 'torch'
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=150000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=.05),
    constructor='densevit.LayerDecayConstructor',
    # Biases, norms and layer scales, relative positions and cluster centres have no weight decay.
    paramwise_cfg=dict(layer_decay=1., backbone_lr_mult=.1, no_decay=('vectors', 'positions', 'centers')))
param_scheduler = [
    dict(type='LinearLR', start_factor=.001, by_epoch=False, begin=0, end=5000),
    dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=5000, end=150000)
]
