# LW-DETR (arXiv:2406.03459) on eight images of COCO with 22 objects of 17 of its classes, until it knows them by heart: a
# proof that training, its 13 groups of queries, boxes and AP fit together, not a model to use. A small ViT behind an
# EfficientNet-Lite0 with ImageNet weights, no augmentation.
#
# Trained here: 93.2 box AP (100.0 AP50) on the same images after 300 iterations of 4, bfloat16, in 4 minutes on one thread
# of a shared CPU; 27.3 (57.6) and 80.1 (94.1) after 100 and 200.
# command: python tools/train.py configs/overfit/lwdetr_coco8.py --amp
_base_ = 'rfdetr_seg_coco8.py'
max_iters = 300
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
model = dict(head=dict(type='densevit.LWDETR', num_groups=13))
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=30),
    dict(type='LinearLR', start_factor=1., end_factor=.01, by_epoch=False, begin=150, end=max_iters)
]
train_cfg = dict(max_iters=max_iters)
