# mask2former_coco_50e.py at twice the length, as the authors train Swin-L.
_base_ = 'mask2former_coco_50e.py'
train_cfg = dict(max_iters=737500)
param_scheduler = dict(milestones=[655556, 710184])
