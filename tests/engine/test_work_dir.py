"""One run in a work dir, and earlier ones kept until a new one has begun."""
from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
import torch
from toy import names, toy_run

from densevit.engine.guards import NonFiniteLossError
from densevit.engine.work_dir import WorkDirError, locked

FORK = multiprocessing.get_context('fork')

pytestmark = pytest.mark.usefixtures('quick_runs')


def hold(folder, ready, has_worker):
    with locked(folder):
        if has_worker:  # as a data loader, which outlives a kill
            FORK.Process(target=signal.pause).start()
        ready.set()
        signal.pause()


def test_another_run_is_kept_out_until_the_first_is_killed(tmp_path):
    ready = FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path, ready, True))
    process.start()
    worker = None
    try:
        assert ready.wait(30)
        with open(f'/proc/{process.pid}/task/{process.pid}/children') as file:
            worker = int(file.read())
        with pytest.raises(WorkDirError, match=f'process {process.pid} on .*--work-dir'), locked(tmp_path):
            pass
        (tmp_path / '.iter_9.pth.ab12_xyz').touch()  # what it is writing at the moment
        with pytest.raises(WorkDirError), locked(tmp_path):
            pass
        assert (tmp_path / '.iter_9.pth.ab12_xyz').exists()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with locked(tmp_path):
            assert not (tmp_path / '.iter_9.pth.ab12_xyz').exists()
        with locked(tmp_path):
            pass
    finally:
        process.kill()
        if worker:
            os.kill(worker, signal.SIGKILL)


def test_only_what_killed_writers_left_is_removed(tmp_path):
    left = ['.iter_9.pth.ab12_xyz', '.best_mIoU_iter_9.pth.ab12_xyz', '.last_checkpoint.ab12_xyz',
            '.epoch_1.pth.00000000']
    others = ['.iter_9.pth', 'iter_9.pth', '.notes.txt.ab12_xyz', '.iter_9.pth.ab12', '.iter_x.pth.ab12_xyz']
    for name in (*left, *others):
        (tmp_path / name).touch()
    with locked(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*others, '.lock'}


def test_a_run_that_fails_in_its_first_iteration_moves_nothing(tmp_path):
    torch.save(1, tmp_path / 'iter_3.pth')
    torch.save(1, tmp_path / 'best_mIoU_iter_3.pth')
    with pytest.raises(NonFiniteLossError):
        toy_run(tmp_path, **{'model.broken': (0, )})
    assert names(tmp_path) == ['best_mIoU_iter_3.pth', 'iter_3.pth']
    toy_run(tmp_path)
    assert names(tmp_path) == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth']
    assert names(tmp_path / 'earlier_1') == ['best_mIoU_iter_3.pth', 'iter_3.pth']
