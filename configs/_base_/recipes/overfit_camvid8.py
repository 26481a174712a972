# Eight training images of CamVid, learned by heart: whether a network can learn at all, in minutes on a CPU. The images
# it is evaluated on are those it is trained on, every 45th, so that they show all classes. A config adds the model's
# head.
_base_ = ['../default_runtime.py', '../datasets/camvid.py', '../preprocessors/label_maps.py']
crop_size = (256, 320)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=.6),
    dict(type='mmseg.PackSegInputs')
]
indices = list(range(0, 360, 45))
eight = dict(ann_file='train.txt', data_prefix=dict(img_path='train', seg_map_path='trainannot'), indices=indices)
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline, indices=indices))
val_dataloader = dict(dataset=eight)
test_dataloader = dict(dataset=eight)
model = dict(
    num_classes=11,
    data_preprocessor=dict(size=crop_size),
    backbone=dict(type='densevit.TimmPyramid', name='resnet18d', pretrained=False, out_indices=(1, 2, 3, 4)))
max_iters = 800
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=.01, fused=True),
    constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=5.))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=.9, eta_min=0, by_epoch=False, begin=50, end=max_iters)
]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=max_iters, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1000))
