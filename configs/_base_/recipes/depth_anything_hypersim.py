# Depth Anything V2 in metres for rooms: Hypersim (arXiv:2011.02523) with depth as NPY in metres along the axis, which
# its distances are divided into at a focal length of 886.81 pixels; up to 20 m, 120 epochs.
_base_ = ['depth_anything.py']
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='densevit.LoadDepth', max_depth=20.)  # farther is out of the sigmoid's reach
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, data_root='data/hypersim', depth_suffix='.npy'))
val_dataloader = dict(dataset=dict(data_root='data/hypersim', depth_suffix='.npy'))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='densevit.DepthErrorMetric', max_depth=20., clamp=False)
test_evaluator = val_evaluator
model = dict(
    head=dict(kind='metric', activation='sigmoid', max_depth=20.),
    criterion=dict(silog=1., silog_convention='eigen', gradient=0.))
train_cfg = dict(max_iters=223000, val_interval=22300)
param_scheduler = [dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=0, end=223000)]
