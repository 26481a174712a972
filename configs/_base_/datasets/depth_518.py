# Images with depth in folders, data/depth/{train,val}/{images,depth}: PNG of 16 bits with millimetres. Whole patches of
# 14 pixels; for tests the shorter side becomes 518.
data_root = 'data/depth'
size = (518, 518)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.DepthCrop', size=size),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='densevit.PackDepth')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.ResizeForDepth', size=size, divisor=14, cover=True, cubic=True),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        data_prefix=dict(img_path='train/images', depth_map_path='train/depth'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        data_prefix=dict(img_path='val/images', depth_map_path='val/depth'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='densevit.DepthErrorMetric', max_depth=80., kind='relative_disparity', alignment='least_squares_disparity')
test_evaluator = val_evaluator
