# eomt_tiny_camvid with its parameters, gradients and optimizer states sharded over the processes (PyTorch's FSDP, by
# mmengine's FSDPStrategy). An example: a model of this size has no need of it. Not trained to the end here.
#
# Each Transformer block is a unit of its own, and the rest is another. mmengine's EMA and its gradient clipping do not
# know of shards (each process would clip by the norm of its own pieces), so both are left out. Checkpoints are full: one
# file, as of any other run.
#
# Command:  tools/dist_train.sh configs/tiny/eomt_tiny_camvid_fsdp.py 2
_base_ = ['eomt_tiny_camvid.py']
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    state_dict_cfg='full',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,
        auto_wrap_policy=dict(type='densevit.engine.sharding.wrap_transformer_blocks')))
custom_hooks = [dict(type='densevit.MaskAnnealingHook')]
optim_wrapper = dict(clip_grad=None)
