# The paper's recipe for DINOv2 (arXiv:2503.19108, appendix A), for a global batch of 16. Warm-up, decay and mask
# annealing follow from train_cfg.max_iters. The authors train in 16-bit mixed precision: add --amp.
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=39120, val_interval=4000)  # 31 epochs of ADE20K
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=.05),
    clip_grad=dict(max_norm=.01),
    constructor='densevit.LayerDecayConstructor',
    # No parameter is spared weight decay, neither norms nor positions.
    paramwise_cfg=dict(layer_decay=.8, no_decay=()))
# 500 and 1000 steps of the published run, as shares of it.
param_scheduler = dict(
    type='densevit.TwoStageWarmupPolyLR',
    by_epoch=False,
    head_warmup=500 / 39120,
    backbone_warmup=1000 / 39120,
    power=.9)
custom_hooks = [dict(type='densevit.MaskAnnealingHook')]
