"""A run that is resumed with another config follows it, or says why it cannot."""
from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop
from test_resume import assert_same
from toy import load, names, toy_run

from densevit.engine import resuming
from densevit.engine.resuming import ResumeError

HALF = {'train_cfg.max_iters': 4}
LR = 'optim_wrapper.optimizer.lr'

pytestmark = pytest.mark.usefixtures('quick_runs')


@pytest.fixture
def warnings(monkeypatch):
    """What the log warned of."""
    told = []
    monkeypatch.setattr(logging.Logger, 'warning', lambda self, text, *args, **kwargs: told.append(str(text)))
    return told


def ours(warnings):
    return [line for line in warnings if 'FileClient' not in line and 'HardDisk' not in line and 'prefix' not in line]


def rates(folder, step):
    state = load(folder / f'iter_{step}.pth')
    return [group['lr'] for group in state['optimizer']['param_groups']], state['param_schedulers']


def test_an_unchanged_run_is_told_nothing(tmp_path, warnings):
    toy_run(tmp_path)
    (tmp_path / 'iter_6.pth').unlink()
    toy_run(tmp_path, 'auto')
    assert ours(warnings) == []


@pytest.mark.parametrize('schedule', [
    [dict(type='LinearLR', by_epoch=False, begin=0, end=2), dict(type='PolyLR', by_epoch=False, begin=2)],
    [dict(type='CosineAnnealingLR', by_epoch=False)],
    [dict(type='OneCycleLR', by_epoch=False, eta_max=.2, total_steps=8)],
    [dict(type='densevit.TwoStageWarmupPolyLR', by_epoch=False, head_warmup=2, backbone_warmup=1)],
    dict(type='MultiStepLR', by_epoch=False, milestones=[3, 5]),
], ids=['poly', 'cosine', 'one cycle', 'two stages', 'steps'])
def test_the_schedule_follows_a_new_length(tmp_path, schedule):
    long = {'train_cfg.max_iters': 8}
    toy_run(tmp_path / 'long', param_scheduler=schedule, **long)
    short = {'train_cfg.max_iters': 4}
    if isinstance(schedule, list) and 'total_steps' in schedule[0]:
        short['param_scheduler.0.total_steps'] = 4
    toy_run(tmp_path / 'run', param_scheduler=schedule, **short)
    toy_run(tmp_path / 'run', 'auto', param_scheduler=schedule, **long)
    for step in (6, 8):
        assert_same(rates(tmp_path / 'run', step), rates(tmp_path / 'long', step))


def test_another_rate_and_weight_decay_are_those_of_the_config(tmp_path, warnings):
    changed = {LR: .02, 'optim_wrapper.optimizer.weight_decay': .3}
    toy_run(tmp_path / 'run', **HALF)
    warnings.clear()
    toy_run(tmp_path / 'run', 'auto', **changed)
    toy_run(tmp_path / 'other', **changed)
    assert_same(rates(tmp_path / 'run', 6), rates(tmp_path / 'other', 6))
    assert load(tmp_path / 'run' / 'iter_6.pth')['optimizer']['param_groups'][0]['weight_decay'] == .3
    line, = [line for line in warnings if 'resumed with' in line]
    assert 'lr=0.02 (was 0.1)' in line and 'weight_decay=0.3' in line and 'end=6 (was 4)' in line


def test_a_rate_without_a_schedule(tmp_path):
    toy_run(tmp_path, param_scheduler=None, **HALF)
    toy_run(tmp_path, 'auto', param_scheduler=None, **{LR: .02})
    assert load(tmp_path / 'iter_6.pth')['optimizer']['param_groups'][0]['lr'] == .02


REFUSED = [
    ({'model.width': 5}, r'another model: layers.0.weight is \(3, 4\) there and \(5, 4\) in the config'),
    ({'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=.1)}, 'optimizer AdamW and the config.s is SGD'),
    ({'optim_wrapper.optimizer': dict(_delete_=True, type='Adam', lr=.1)}, 'optimizer AdamW and the config.s is Adam'),
    ({'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(spare=dict(lr_mult=.1)))}, 'group.s. of 5 parameters'),
    ({'train_cfg.max_iters': 3}, 'has 4 iterations behind it.*set train_cfg.max_iters above 4'),
    ({'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='AP', rule='greater', by_epoch=True)]},
     'depends on validations'),
]


def test_what_cannot_be_continued_is_one_line(tmp_path):
    toy_run(tmp_path, **HALF)
    for changes, words in REFUSED:
        with pytest.raises(ResumeError, match=words):
            toy_run(tmp_path, 'auto', **changes)
        assert names(tmp_path) == ['iter_2.pth', 'iter_4.pth']


def test_epochs_that_became_shorter_are_continued():
    """Two epochs of eight iterations are less than three of two."""
    runner = SimpleNamespace(train_loop=object.__new__(EpochBasedTrainLoop), max_epochs=3, max_iters=6)
    resuming._check_length(dict(epoch=2, iter=16), runner)
    with pytest.raises(ResumeError, match='has 4 epochs behind it.*set train_cfg.max_epochs above 4'):
        resuming._check_length(dict(epoch=4, iter=4), runner)


@pytest.mark.parametrize('changes', [{'train_dataloader.batch_size': 2}, {}], ids=['batch', 'processes'])
def test_another_division_of_the_data_is_told(tmp_path, warnings, monkeypatch, changes):
    toy_run(tmp_path, **HALF)
    if not changes:
        monkeypatch.setattr(resuming, 'get_world_size', lambda: 2)
    toy_run(tmp_path, 'auto', **HALF | {'train_cfg.max_iters': 5}, **changes)
    line, = [line for line in warnings if 'its result will not be' in line]
    assert 'had 1' in line and 'now has 2' in line


def test_a_run_that_no_longer_averages_goes_on_from_its_own_weights(tmp_path):
    toy_run(tmp_path / 'run', **HALF)
    toy_run(tmp_path / 'run', 'auto', custom_hooks=[])
    toy_run(tmp_path / 'other', custom_hooks=[], **HALF)
    toy_run(tmp_path / 'other', 'auto', custom_hooks=[])
    assert_same(*(load(tmp_path / name / 'iter_6.pth')['state_dict'] for name in ('run', 'other')))


@pytest.mark.parametrize(('schedule', 'option'), [
    ([dict(type='LinearLR', by_epoch=False, begin=0, end=2), dict(type='PolyLR', by_epoch=False, begin=2, end=4)],
     'param_scheduler.1.end'),
    ([dict(type='PolyLR', by_epoch=False, begin=0, end=400)], 'param_scheduler.0.end'),
    (dict(type='CosineAnnealingLR', by_epoch=False, T_max=400), 'param_scheduler.T_max'),
])
def test_a_schedule_of_another_length_is_told_and_the_remedy_holds(tmp_path, warnings, schedule, option):
    toy_run(tmp_path / 'a', param_scheduler=schedule)
    line, = [line for line in warnings if 'train_cfg.max_iters=6' in line]
    assert f'set {option}=6' in line
    warnings.clear()
    toy_run(tmp_path / 'b', param_scheduler=schedule, **{option: 6})
    assert not [line for line in warnings if 'train_cfg.max_iters' in line]


def test_a_warm_up_alone_is_no_schedule_of_another_length(tmp_path, warnings):
    toy_run(tmp_path, param_scheduler=[dict(type='LinearLR', by_epoch=False, begin=0, end=2),
                                       dict(type='MultiStepLR', by_epoch=False, milestones=[3])])
    assert not [line for line in warnings if 'train_cfg.max_iters' in line]
