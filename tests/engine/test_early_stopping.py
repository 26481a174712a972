"""A run ends when its validations no longer improve, resumes as one that was never stopped, and keeps its best."""
from __future__ import annotations

import pytest
from test_resume import Killed, KillForTestHook, assert_same  # noqa: F401 (registered)
from toy import load, names, toy_config, toy_run

EMA = dict(type='EMAHook', ema_type='mmdet.ExpMomentumEMA', momentum=.1, gamma=3)
FIGURES = [dict(AP=value) for value in (.1, .5, .4, .5, .3, .9)]


def train(work_dir, resume=None, figures=FIGURES, patience=2, hooks=(), **changes):
    stop = {**dict(type='densevit.PatienceHook', monitor='AP', patience=patience), **changes.pop('stop', {})}
    custom = [*toy_config(work_dir).custom_hooks[:1], EMA, stop, *hooks]
    return toy_run(work_dir, resume, figures=figures, custom_hooks=custom, **{
        'train_cfg.max_iters': 12, 'default_hooks.checkpoint.save_best': 'AP', **changes})


pytestmark = pytest.mark.usefixtures('quick_runs')


def test_run_ends_and_keeps_the_best_and_the_last(tmp_path):
    train(tmp_path)
    assert names(tmp_path) == ['best_AP_iter_4.pth', 'iter_2.pth', 'iter_4.pth', 'iter_6.pth', 'iter_8.pth']
    assert load(tmp_path / 'iter_8.pth')['message_hub']['runtime_info']['best_score'] == .5


def test_last_iteration_is_saved_whatever_the_interval(tmp_path):
    train(tmp_path, **{'default_hooks.checkpoint.interval': 3})
    assert names(tmp_path) == ['best_AP_iter_4.pth', 'iter_3.pth', 'iter_6.pth', 'iter_8.pth']


@pytest.mark.parametrize('kill', [5, 6, 7])  # within, and right behind a validation
def test_killed_run_ends_where_a_whole_one_does_with_its_average(tmp_path, kill):
    whole = load(train(tmp_path / 'whole') / 'iter_8.pth')
    with pytest.raises(Killed):
        train(tmp_path / 'run', hooks=[dict(type='KillForTestHook', iteration=kill)])
    done = kill // 2
    train(tmp_path / 'run', 'auto', FIGURES[done:])
    assert names(tmp_path / 'run') == names(tmp_path / 'whole')
    resumed = load(tmp_path / 'run' / 'iter_8.pth')
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(whole[part], resumed[part], part)


def test_ended_run_goes_on_with_more_patience_alone(tmp_path):
    train(tmp_path)
    train(tmp_path, 'auto', [])
    assert names(tmp_path)[-1] == 'iter_8.pth'
    train(tmp_path, 'auto', [dict(AP=.6), dict(AP=.3)], patience=3)  # the message says so
    assert names(tmp_path)[:3] == ['best_AP_iter_10.pth', 'iter_10.pth', 'iter_12.pth']


@pytest.mark.parametrize(('stop', 'figures', 'last'), [
    (dict(min_delta=.05), (.5, .52, .54, .56, .6, .6), 6),
    (dict(monitor='error', rule='less'), (.5, .4, .5, .4, .1, .1), 8),
    (dict(monitor='auto'), (.5, float('nan'), float('nan'), .1, .1, .1), 6),
])
def test_what_is_an_improvement(tmp_path, stop, figures, last):
    key = stop.get('monitor', 'AP').replace('auto', 'AP')
    train(tmp_path, figures=[{key: value} for value in figures], stop=stop, **{
        'default_hooks.checkpoint.save_best': None})
    assert names(tmp_path)[-1] == f'iter_{last}.pth'


@pytest.mark.parametrize(('stop', 'message'), [
    (dict(monitor='mIoU'), "monitor='mIoU' .* choose of AP, or 'auto'"),
    (dict(patience=0), 'PatienceHook has patience=0')])
def test_keys_to_change_are_named(tmp_path, stop, message):
    with pytest.raises((KeyError, ValueError), match=message):
        train(tmp_path, stop=stop)


def test_better_end_that_nobody_knows(tmp_path):
    with pytest.raises(ValueError, match="weirdness is better: set its rule"):
        train(tmp_path, figures=[dict(weirdness=1.)] * 6, stop=dict(monitor='weirdness'), **{
            'default_hooks.checkpoint.save_best': None})
