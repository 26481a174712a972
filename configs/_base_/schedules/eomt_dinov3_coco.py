# The authors' recipe for DINOv3-L on COCO, from their configuration files: twice the learning rate, longer warm-ups,
# and the blocks that process queries are not slowed down.
_base_ = 'eomt_dinov2_coco.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(full_lr_blocks=4))
param_scheduler = dict(head_warmup=2000 / 88692, backbone_warmup=3000 / 88692)
