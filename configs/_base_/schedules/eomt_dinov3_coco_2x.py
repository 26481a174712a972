# The authors' recipe for DINOv3-S and B on COCO, panoptic: that of eomt_dinov3_coco.py over 24 epochs, with three
# blocks that process queries, the first of which is annealed from the start.
_base_ = 'eomt_dinov2_coco_2x.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(full_lr_blocks=3))
param_scheduler = dict(head_warmup=2000 / 177384, backbone_warmup=3000 / 177384)
# From steps 0, 73910 and 118256, over 3000 steps for the first and 29564 for the others, as shares of the run.
custom_hooks = [
    dict(
        type='densevit.MaskAnnealingHook',
        starts=[step / 177384 for step in (0, 73910, 118256)],
        length=[step / 177384 for step in (3000, 29564, 29564)])
]
