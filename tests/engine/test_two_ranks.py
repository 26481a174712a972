"""Two processes decide alike."""
from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from checkout import forget_runs, take_shortcuts
from interpreters import SERVER
from toy import names, toy_config

from densevit.datasets.common.locate import MissingDataError
from densevit.engine import guards, run_config, work_dir
from densevit.engine.distributed import prepare_launcher

pytestmark = pytest.mark.usefixtures('quick_runs')


def train_as(rank: int, port: int, folder: Path, outcomes: Any, changes: dict[str, Any]) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1',
                      MASTER_PORT=str(port))
    forget_runs()
    take_shortcuts()
    if fault := changes.pop('data_fault', None):
        guards.check_files = partial(_fail, fault)
    own = {key: value[rank] if isinstance(value, tuple) else value for key, value in changes.items()}
    cfg = toy_config(folder, **own)
    try:
        prepare_launcher(cfg, 'pytorch')
        with work_dir.locked(folder):
            run_config.set_resume(cfg, None)
            run_config.train(cfg)
        outcomes.put((rank, 'done'))
    except Exception as error:
        outcomes.put((rank, f'{type(error).__name__}: {error}'))
    finally:
        torch.distributed.destroy_process_group()


def _fail(message: str, *args: Any) -> None:
    raise MissingDataError(message)


@pytest.fixture
def two_ranks(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that trains with changes, a pair of them where the two differ, and gives how each process ended."""
    def run(**changes: Any) -> list[str]:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        outcomes = SERVER.Queue()
        processes = [SERVER.Process(target=train_as, args=(rank, port, tmp_path, outcomes, changes)) for rank in (0, 1)]
        for process in processes:
            process.start()
        try:
            return [end for _, end in sorted(outcomes.get(timeout=120) for _ in processes)]
        finally:
            for process in processes:
                process.join(10)
                process.kill()
    return run


def test_a_signal_to_one_stops_both_at_the_same_iteration(two_ranks, tmp_path):
    sent = dict(number=int(signal.SIGTERM), iteration=2)
    assert two_ranks(sent=(None, sent)) == ['RunStopped: stopped by SIGTERM'] * 2
    assert names(tmp_path) == ['iter_2.pth', 'iter_3.pth']


def test_a_gradient_of_nan_in_one_stops_both(two_ranks, tmp_path):
    ends = two_ranks(**{'model.broken': [5]})  # the third image of the second process
    assert all('gradient is nan at iteration 3' in end for end in ends), ends
    assert names(tmp_path) == ['iter_2.pth']


def test_an_error_of_the_main_process_is_that_of_both(two_ranks, tmp_path):
    (tmp_path / '.lock').mkdir()
    ends = two_ranks()
    assert all('.lock' in end for end in ends) and names(tmp_path) == []


def test_a_fault_of_the_data_ends_both(two_ranks):
    """The main process alone looks at the data; the other one must not wait for it."""
    ends = two_ranks(data_fault='0.jpg is missing', custom_hooks=[dict(type='densevit.DataCheckHook')])
    assert ends == ['MissingDataError: 0.jpg is missing'] * 2


def test_processes_that_do_not_know_of_each_other_share_a_work_dir(tmp_path):
    """DeepSpeed starts the group later than the work dir is locked."""
    with work_dir.locked(tmp_path):
        other = SERVER.Process(target=_lock_once, args=(tmp_path, '1'))
        other.start()
        other.join()
    assert other.exitcode == 0


def _lock_once(folder: Path, rank: str) -> None:
    os.environ['RANK'] = rank
    with work_dir.locked(folder):
        pass
