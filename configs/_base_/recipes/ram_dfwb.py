# One network for several degradations, none of which it is told (RAM, arXiv:2409.19403): patches of 64 pixels, L1, Adam, a
# global batch of 96, a cosine from 1e-4 to 6e-5, averaged weights.
# What differs: the authors train on pairs of haze, rain, blur of motion, low light, noise and JPEG; here noise, JPEG and
# blur are made of true images, in data/DFWB. Pairs of one's own, of whatever kinds, go in by --data with lq/ and hq/.
_base_ = './denoise25_dfwb.py'
worse = dict(
    type='densevit.Degrade',
    steps=[
        dict(
            type='densevit.OneOf',
            choices=[[dict(type='densevit.GaussianNoise', sigma=(15, 50))],
                     [dict(type='densevit.JPEGCompression', quality=(10, 40))],
                     [dict(type='densevit.GaussianBlur', sigma=(.8, 2.5))]])
    ])
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=64),
    dict(type='densevit.FlipAndTurn'),
    worse,
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(worse, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
model = dict(criterion=dict(kind='l1'))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', eta_min=6e-5, by_epoch=False, begin=0, end=400000)]
train_cfg = dict(max_iters=400000)
custom_hooks = [dict(type='mmengine.EMAHook', momentum=.005, priority='NORMAL')]
