# LW-DETR (arXiv:2406.03459): lwdetr_tiny_bccd_288.py goes on at 336x448, where platelets are more than a cell of the map of stride
# 16. 6.4 M parameters.
#
# Trained here: 58.7 box AP (86.5 AP50, 68.3 AP75) on the 72 test images of BCCD; by class red cells 57.6, white cells 78.0,
# platelets 40.6. On the 87 validation images 57.3 (86.0 AP50); 56.5, 56.2 and 57.2 after 200, 400 and 600 iterations. 800
# iterations of 4 images, bfloat16, in 31 minutes on one shared CPU core, behind the 1500 at 288x384.
# The weights are in the package (lwdetr_tiny_bccd), with the curve in their card.
#
# For data of your own begin with them: densevit train lwdetr_tiny_bccd --data FOLDER --load-from lwdetr_tiny_bccd --new-classes
#
# Command:  python tools/train.py configs/tiny/lwdetr_tiny_bccd.py --amp --load-from work_dirs/lwdetr_tiny_bccd_288/iter_1500.pth
# Test:     python tools/test.py configs/tiny/lwdetr_tiny_bccd.py densevit/weights/bundled/lwdetr_tiny_bccd.safetensors
_base_ = 'lwdetr_tiny_bccd_288.py'
max_iters = 800  # the decay below ends here, too: change it in a copy of this file, not by train_cfg.max_iters alone
size = (336, 448)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'),
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomCrop', crop_type='relative_range', crop_size=(.65, .65), allow_negative_crop=True),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=[.25, .25, .25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='densevit.LoadImage'),
    dict(type='mmdet.Resize', scale=size[::-1], keep_ratio=False),
    dict(type='densevit.PackWithTruth')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=200, end=max_iters)
]
train_cfg = dict(max_iters=max_iters, val_interval=200)
