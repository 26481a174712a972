# Nuclei of the 2018 Data Science Bowl (BBBC038, CC0), 300 images to learn from and 80 to validate on, one class, COCO
# annotations under data/dsb2018_nuclei. See data/README.md.
#
# Most nuclei are 8 to 25 pixels wide: images are enlarged so that the shorter side has 448 pixels, which for the most
# common size (256x256) is 1.75 times as large.
data_root = 'data/dsb2018_nuclei'
metainfo = dict(classes=('nucleus', ), palette=[(220, 20, 60)])
crop_size = (256, 256)
# Crops of these sides in pixels of the file, enlarged to 256: 2.3 to 1.1 times as large.
crop_sides = (112, 128, 146, 168, 200, 240)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    # Microscopes differ in exposure: some images use a tenth of the range of values.
    dict(type='mmdet.AutoContrast', prob=1.),
    dict(
        type='RandomChoice',
        prob=(.1, .2, .25, .2, .15, .1),
        transforms=[[
            dict(type='mmdet.RandomCrop', crop_size=(side, side), allow_negative_crop=True, recompute_bbox=True)
        ] for side in crop_sides]),
    dict(type='mmdet.Resize', scale=crop_size, keep_ratio=False),
    dict(type='mmdet.FilterAnnotations', by_box=False, by_mask=True, min_gt_mask_area=16, keep_empty=False),
    dict(
        type='mmdet.RandomFlip', prob=[.25, .25, .25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(
        type='densevit.AlbumentationsTransform',
        transforms=[
            dict(type='RandomBrightnessContrast', brightness_limit=.2, contrast_limit=.3, p=.5),
            dict(type='RandomGamma', gamma_limit=(60, 160), p=.5),
            dict(type='HueSaturationValue', hue_shift_limit=15, sat_shift_limit=30, val_shift_limit=0, p=.3),
            dict(type='InvertImg', p=.1),
            dict(type='ToGray', p=.15),
            dict(type='GaussianBlur', p=.1)
        ]),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.AutoContrast', prob=1.),
    # A strip longer than four times its width would give EoMT, with a query a patch, more masks than memory holds.
    dict(type='mmdet.Resize', scale=(1792, 448), keep_ratio=True),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        data_root=data_root,
        ann_file='instances_train.json',
        data_prefix=dict(img='images'),
        metainfo=metainfo,
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.CocoInstanceDataset',
        data_root=data_root,
        ann_file='instances_val.json',
        data_prefix=dict(img='images'),
        metainfo=metainfo,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.InstanceMetric')
test_evaluator = val_evaluator
