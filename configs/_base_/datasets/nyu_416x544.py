# NYU Depth v2 (Silberman et al., ECCV 2012) as BTS and AdaBins have it: 24231 frames and Eigen's 654 for tests, with
# their lists, whose lines tell the focal length; evaluated in Eigen's crop.
data_root = 'data/nyu'
size = (416, 544)
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
    dict(type='densevit.ResizeForDepth', size=None),
    dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        ann_file='nyudepthv2_train_files_with_gt.txt',
        data_prefix=dict(img_path='sync', depth_map_path='sync'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.DepthDataset',
        data_root=data_root,
        ann_file='nyudepthv2_test_files_with_gt.txt',
        data_prefix=dict(img_path='official_splits/test', depth_map_path='official_splits/test'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.DepthErrorMetric', crop='nyu_eigen', max_depth=10.)
test_evaluator = val_evaluator
