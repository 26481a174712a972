# Super-resolution x4 of pictures from the world: as sr_x4_df2k.py, but images are made worse by Real-ESRGAN's pipeline
# (arXiv:2107.10833): blur, resize, noise and JPEG, twice, then a sinc filter. Validated on Set5 made worse the same way,
# which tells that a run learns and no more: there are no true images of such pictures.
_base_ = './sr_x4_df2k.py'
worse = dict(type='densevit.Degrade', scale=4, steps=[dict(type='densevit.SecondOrderDegradation', scale=4)])
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(worse, seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='densevit.SeedAugmentation'),
        dict(type='densevit.LoadPair', keep_depth=True),
        dict(type='densevit.PairedCrop', size=320),
        dict(type='densevit.FlipAndTurn'),
        worse,
        dict(type='densevit.PairedCrop', size=256, place='center'),
        dict(type='densevit.PackPair')
    ]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
