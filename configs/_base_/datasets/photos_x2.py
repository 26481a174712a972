# Super-resolution x2 by MATLAB's bicubic: photographs of BSDS500 (200 of its training images, five times as often as
# others), PASCAL VOC and COCO to learn from, under data/bsd200, data/voc_animals and data/coco_tiny; Set5 to validate on,
# under data/sr_test. See data/README.md. With --data, pairs or true images of one's own.
scale = 2
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.PairedCrop', size=96),
    dict(type='densevit.FlipAndTurn'),
    dict(type='densevit.Degrade', scale=scale, steps=[dict(type='densevit.BicubicDown', scale=scale)]),
    # Without what the border of the larger crop has changed.
    dict(type='densevit.PairedCrop', size=80, place='center'),
    dict(type='densevit.PackPair')
]
test_pipeline = [
    dict(type='densevit.LoadPair', keep_depth=True),
    dict(type='densevit.Degrade', scale=scale, steps=[dict(type='densevit.BicubicDown', scale=scale)], seed=0),
    dict(type='densevit.PackPair')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.RestorationDataset',
        hq=['data/bsd200'] * 5 + ['data/voc_animals/images', 'data/coco_tiny/images'],
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.RestorationDataset',
        data_root='data/sr_test/Set5/x2',
        hq='HR',
        lq='LR',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.RestorationMetric', crop_border=scale, y_channel=True)
test_evaluator = val_evaluator
