# 459 and 124 rooms of NYU Depth v2 (Silberman et al., ECCV 2012), 310x232, millimetres in PNG of 16 bits; the metric
# scale of each was recovered to about 1 %, which is good for learning and not for published figures. See data/README.md.
data_root = 'data/nyu_depth'
camera = (259.4, 259.4, 157.5, 122.6)  # fx, fy, cx, cy in pixels
size = (192, 256)
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
    dict(type='densevit.ResizeForDepth', size=size),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        ann_file='train.txt',
        data_prefix=dict(img_path='rgb', depth_map_path='depth'),
        camera=camera,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='rgb', depth_map_path='depth'),
        camera=camera,
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.DepthErrorMetric', max_depth=10., pictures=8)
test_evaluator = val_evaluator
