# The authors' recipe for DINOv3 on ADE20K, from their configuration files: half as long, twice the learning rate,
# longer warm-ups, and the first masked block is annealed from the start.
_base_ = 'eomt_dinov2.py'
train_cfg = dict(max_iters=20192)  # 16 epochs of ADE20K
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    # Their files ask for a tenth of the learning rate in the backbone, but the code never gets to that branch: without
    # layer-wise decay all of the backbone trains at the full rate, and so it does here. backbone_lr_mult=.1 is a tenth.
    paramwise_cfg=dict(layer_decay=1.))
param_scheduler = dict(head_warmup=2000 / 20192, backbone_warmup=3000 / 20192)
# From steps 0, 6520, 9780 and 13040, over 3000 steps for the first and 3260 for the others, as shares of the run.
custom_hooks = [
    dict(
        type='densevit.MaskAnnealingHook',
        starts=[step / 20192 for step in (0, 6520, 9780, 13040)],
        length=[step / 20192 for step in (3000, 3260, 3260, 3260)])
]
