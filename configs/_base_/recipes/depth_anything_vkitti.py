# Depth Anything V2 in metres for streets: Virtual KITTI 2 (arXiv:2001.10773), PNG of centimetres; up to 80 m, 120
# epochs.
_base_ = ['depth_anything.py']
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='densevit.LoadDepth', max_depth=80.)  # farther is out of the sigmoid's reach
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, data_root='data/vkitti2', depth_scale=100.))
val_dataloader = dict(dataset=dict(data_root='data/kitti', depth_scale=256.))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='densevit.DepthErrorMetric', max_depth=80., clamp=False)
test_evaluator = val_evaluator
model = dict(
    head=dict(kind='metric', activation='sigmoid', max_depth=80.),
    criterion=dict(silog=1., silog_convention='eigen', gradient=0.))
train_cfg = dict(max_iters=73300, val_interval=7330)
param_scheduler = [dict(type='PolyLR', power=.9, eta_min=0., by_epoch=False, begin=0, end=73300)]
