# deim_tiny_animals (arXiv:2509.20787) goes on at rectangles: batches of 384x640 and of 640x384, by the aspect ratios of the
# photographs, and tests at 448x544 and 544x448, shapes that it never saw.
#
# Trained here: 40.0 box AP (60.5 AP50) on the 445 validation images after 200 iterations of 4, bfloat16, in 16 minutes on one
# shared CPU core. deim_tiny_animals_squares.py, the same run at squares of as many pixels, has 38.9 (59.0).
#
# Command:  python tools/train.py configs/tiny/deim_tiny_animals_buckets.py --amp --load-from deim_tiny_animals
_base_ = 'deim_tiny_animals.py'
max_iters = 200  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
shapes = [(384, 640), (640, 384)]  # height, width
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='densevit.FitToBucket', shapes=shapes),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='densevit.FitToBucket', shapes=[(448, 544), (544, 448)]),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(
    batch_size=4,
    batch_sampler=dict(type='densevit.AspectRatioBuckets', shapes=shapes),
    dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=20),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=50, end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=200)
