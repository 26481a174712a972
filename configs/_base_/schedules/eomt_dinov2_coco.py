# The paper's recipe for DINOv2 on COCO (arXiv:2503.19108, appendix A): 12 epochs of 7391 batches of 16.
_base_ = 'eomt_dinov2.py'
train_cfg = dict(max_iters=88692, val_interval=7391)
param_scheduler = dict(head_warmup=500 / 88692, backbone_warmup=1000 / 88692)
