"""Gradients summed over several batches, with averaged weights, mixed precision and a kill in between."""
from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from test_resume import Killed, KillForTestHook, assert_same  # noqa: F401 (registered)
from toy import load, toy_config, toy_run

from densevit.engine import run_config

EMA = dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.1, gamma=3)
pytestmark = pytest.mark.usefixtures('quick_runs')


def train(work_dir, resume=None, counts=4, hooks=(), **changes):
    custom = [*toy_config(work_dir).custom_hooks[:1], EMA, *hooks]
    return toy_run(work_dir, resume, custom_hooks=custom, **{
        'train_cfg.max_iters': 12, 'optim_wrapper.accumulative_counts': counts,
        'default_hooks.checkpoint.interval': 4, **changes})


def test_two_batches_of_one_are_one_of_two(tmp_path):
    """AdamW's second moment would tell a sum from a mean."""
    constant = dict(param_scheduler=None, custom_hooks=[])
    one = toy_run(tmp_path / 'one', **constant, **{'train_dataloader.batch_size': 2, 'train_cfg.max_iters': 4})
    two = toy_run(tmp_path / 'two', **constant, **{'optim_wrapper.accumulative_counts': 2, 'train_cfg.max_iters': 8})
    states = [load(folder / f'iter_{step}.pth') for folder, step in ((one, 4), (two, 8))]
    torch.testing.assert_close(states[0]['state_dict'], states[1]['state_dict'])


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'densevit.AutocastOptimWrapper'])
def test_a_killed_run_reaches_what_a_whole_one_does(tmp_path, wrapper):
    changes = {'optim_wrapper.type': wrapper}
    whole = load(train(tmp_path / 'whole', **changes) / 'iter_12.pth')
    with pytest.raises(Killed):
        train(tmp_path / 'run', hooks=[dict(type='KillForTestHook', iteration=6)], **changes)
    train(tmp_path / 'run', 'auto', **changes)
    resumed = load(tmp_path / 'run' / 'iter_12.pth')
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(whole[part], resumed[part], part)


@pytest.mark.parametrize(('interval', 'counts', 'max_iters', 'found'), [
    (25, 4, 1000, 28), (1000, 4, 1000, 100), (1000, 16, 1000, 112), (2, 1, 6, 2), (-1, 4, 1000, -1)])
def test_checkpoints_hold_whole_steps(interval, counts, max_iters, found):
    """A gradient that is half summed is in no checkpoint, and would be lost."""
    cfg = Config(dict(
        train_cfg=dict(max_iters=max_iters), optim_wrapper=dict(accumulative_counts=counts),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=interval, by_epoch=False))))
    run_config.add_hooks(cfg)
    assert cfg.default_hooks.checkpoint.interval == found
