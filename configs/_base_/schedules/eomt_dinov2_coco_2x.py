# eomt_dinov2_coco.py at twice the length, 24 epochs, as the authors train S and B for their model zoo.
_base_ = 'eomt_dinov2.py'
train_cfg = dict(max_iters=177384, val_interval=7391)
param_scheduler = dict(head_warmup=500 / 177384, backbone_warmup=1000 / 177384)
