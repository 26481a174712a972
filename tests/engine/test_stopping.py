"""Signals end a run after the iteration at hand, and what is saved is continued exactly."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkout import ROOT
from test_resume import assert_same
from toy import load, names, toy_run

from densevit.engine import stopping
from densevit.engine.stopping import RunStopped, StopSignalHook

PARTS = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
PROGRAM = '''
import os, runpy, sys
from checkout import take_shortcuts
take_shortcuts()
del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name='__main__')
'''
FIGURES = [dict(AP=1.)] * 3

pytestmark = pytest.mark.usefixtures('quick_runs')


@pytest.fixture(autouse=True)
def signals_of_a_terminal():
    """A shell's job in the background begins with signals that are ignored."""
    usual = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(('number', 'iteration', 'validating', 'saved'), [
    (signal.SIGTERM, 2, False, 'iter_3.pth'),
    (signal.SIGHUP, 3, False, 'iter_4.pth'),
    (signal.SIGINT, 4, True, 'iter_4.pth'),  # whose averaged weights are in the model at that moment
])
def test_a_stopped_run_continues_exactly(tmp_path, number, iteration, validating, saved):
    before = signal.getsignal(number)
    whole = load(toy_run(tmp_path / 'whole', figures=FIGURES) / 'iter_6.pth')
    sent = dict(number=int(number), iteration=iteration, validating=validating)
    with pytest.raises(RunStopped) as stop:
        toy_run(tmp_path / 'run', figures=FIGURES, sent=sent)
    assert stop.value.signal == number and Path(stop.value.checkpoint).name == saved == names(tmp_path / 'run')[-1]
    assert signal.getsignal(number) is before
    resumed = load(toy_run(tmp_path / 'run', 'auto', figures=FIGURES) / 'iter_6.pth')
    for part in PARTS:
        assert_same(whole[part], resumed[part], part)


def test_a_validation_that_is_not_saved_by_the_interval(tmp_path):
    """The weights of a checkpoint that is written in a validation are not the averaged ones."""
    rare = {'default_hooks.checkpoint.interval': 100, 'figures': FIGURES}
    whole = load(toy_run(tmp_path / 'whole', **rare) / 'iter_6.pth')
    with pytest.raises(RunStopped):
        toy_run(tmp_path / 'run', **rare, sent=dict(number=15, iteration=4, validating=True))
    resumed = load(toy_run(tmp_path / 'run', 'auto', **rare) / 'iter_6.pth')
    for part in PARTS:
        assert_same(whole[part], resumed[part], part)


def test_an_accumulated_gradient_is_not_lost(tmp_path):
    with pytest.raises(RunStopped) as stop:
        toy_run(tmp_path, sent=dict(number=15, iteration=2),
                **{'optim_wrapper.accumulative_counts': 2})
    assert Path(stop.value.checkpoint).name == 'iter_4.pth'


def test_all_processes_stop_where_one_was_told(tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, 'any_process', lambda flag: True)
    with pytest.raises(RunStopped) as stop:
        toy_run(tmp_path)
    assert stop.value.signal == signal.SIGTERM and names(tmp_path) == ['iter_1.pth']


def test_a_second_signal_ends_the_run_at_once_and_an_echo_does_not(tmp_path):
    hook = StopSignalHook()
    hook.before_train(None)
    try:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # as torchrun hands on what the whole group got
        hook._since -= 10
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        hook.restore()


def test_nohup_stays_in_force_and_other_threads_do_not_fail():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hook = StopSignalHook()
    try:
        thread = threading.Thread(target=hook.before_train, args=(None, ))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        hook.before_train(None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        hook.restore()
        signal.signal(signal.SIGHUP, earlier)


def test_processes_ask_each_other_only_where_all_have_a_batch(monkeypatch):
    """Of 20 images, two of three processes may have four batches of two, and one three."""
    loader = SimpleNamespace(dataset=range(20), batch_size=2)
    assert stopping._all_reach(9, loader)
    monkeypatch.setattr(stopping, 'get_world_size', lambda: 3)
    assert stopping._all_reach(2, loader) and not stopping._all_reach(3, loader)
    loader.batch_size = None  # of a batch sampler: how many batches it has nobody knows
    assert not stopping._all_reach(0, loader)


def start(config: Path, work_dir: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', str(work_dir),
         '--cfg-options', 'train_cfg.max_iters=100000', 'train_dataloader.num_workers=1',
         'default_hooks.checkpoint.interval=100000'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])})


def test_sigterm_to_a_whole_job_saves_and_says_how_to_go_on(camvid_like, tiny_config, tool, tmp_path, capsys):
    """Slurm signals the processes that load data as well."""
    process = start(tiny_config, tmp_path / 'run')
    try:
        for line in process.stdout:
            if 'Iter(train)' in line:
                break
        os.killpg(process.pid, signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode == 143, errors[-2000:]
    saved = names(tmp_path / 'run')
    assert len(saved) == 1 and saved[0] in errors.strip().splitlines()[-1] and '--resume' in errors
    step = int(saved[0].removeprefix('iter_').removesuffix('.pth'))
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--resume', '--cfg-options',
                f'train_cfg.max_iters={step + 1}') == 0
    weights = load(tmp_path / 'run' / f'iter_{step + 1}.pth')
    assert weights['meta']['iter'] == step + 1 and torch.isfinite(weights['state_dict']['network.query.weight']).all()
    deadline = time.monotonic() + 30
    while workers_of(process.pid) and time.monotonic() < deadline:
        time.sleep(.1)
    assert not workers_of(process.pid)


def workers_of(group: int) -> list[str]:
    """Processes of a group that are still there."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if fields[2] == str(group) and fields[0] != 'Z':
            found.append(stat.parent.name)
    return found
