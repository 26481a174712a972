# Runtime shared by all configs: a log line every 50 iterations, a checkpoint every 2000, of which the last two stay.
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
visualizer = dict(type='densevit.SampleVisualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')])
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
default_hooks = dict(
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='mmengine.LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='mmengine.ParamSchedulerHook'),
    checkpoint=dict(
        type='densevit.AtomicCheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=2))
