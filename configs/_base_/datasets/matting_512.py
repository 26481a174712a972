# Foregrounds with opacities on random backgrounds, data/matting/train/{fg,alpha,bg}, and pictures with opacities and
# trimaps for tests, data/matting/val/{images,alpha,trimaps}, at their own size.
data_root = 'data/matting'
size = 512
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadAlpha'),
    dict(type='densevit.MattingCrop', size=size),
    dict(type='densevit.JoinForegrounds'),
    dict(type='densevit.JitterForeground'),
    dict(type='densevit.ComposeForeground', backgrounds='data/matting/train/bg'),
    dict(type='densevit.RandomTrimap', width=(1, 30)),
    dict(type='densevit.PackMatting')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.LoadAlpha'),
    dict(type='densevit.PackMatting')
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='densevit.PositionSampler'),
    dataset=dict(
        type='densevit.MattingDataset',
        data_root=data_root,
        data_prefix=dict(img_path='train/fg', alpha_path='train/alpha'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='densevit.MattingDataset',
        data_root=data_root,
        data_prefix=dict(img_path='val/images', alpha_path='val/alpha', trimap_path='val/trimaps'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='densevit.MattingMetric', pictures=8)
test_evaluator = val_evaluator
