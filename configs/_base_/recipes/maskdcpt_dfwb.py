# Pre-training by masked degradation classification (MaskDCPT, arXiv:2510.13282, section V-A): patches of 256 pixels, half of
# their squares of 16 hidden, L1 of all pixels and a focal loss of the kind; AdamW without decay at 3e-4, and at 1e-4 for
# what makes images and kinds of features, for 100k steps of 16 images.
# What differs: the authors train on data of 5, 12 or 19 kinds; here three are made of true images, in data/DFWB, as often
# each. Pairs of one's own take dict(type='densevit.PackPair', degradation=0), 1, 2 ... in a data set for each kind,
# and model.num_degradations.
_base_ = './ram_dfwb.py'
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=256),
    dict(type='densevit.FlipAndTurn'),
    _base_.worse,
    dict(type='densevit.MaskPixels', ratio=.5, patch_size=16),
    dict(type='densevit.PackPair')
]
# How well the network restores what is partly hidden: the metric counts hidden and visible pixels.
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(_base_.worse, seed=0),
    dict(type='densevit.MaskPixels', ratio=.5, patch_size=16, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(type='densevit.ClassifyingRestorer', num_degradations=3)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.),
    paramwise_cfg=dict(lr_mult={
        'classifier': 1 / 3,
        'network.conv_last': 1 / 3
    }))
param_scheduler = [dict(type='ConstantLR', factor=1., by_epoch=False, begin=0, end=100000)]
train_cfg = dict(max_iters=100000)
custom_hooks = []  # weights are not averaged
