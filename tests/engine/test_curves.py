from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.logging import MessageHub
from PIL import Image

from densevit.engine import CurveHook


def runner_in(folder, hub, max_iters=1000):
    return SimpleNamespace(iter=0, max_iters=max_iters, work_dir=str(folder), message_hub=hub)


def train(hook, runner, start, stop):
    for index in range(start, stop):
        runner.iter = index
        hook.after_train_iter(runner, index, None, dict(loss=torch.tensor(10. - index)))
    runner.iter = stop
    # A number of NumPy, as mmsegmentation gives it.
    hook.after_val_epoch(runner, {'mIoU': np.float32(stop), 'PQ': float('nan'), 'name': 'text'})


def test_a_resumed_run__goes_on_with_its_curve(tmp_path):
    hub = MessageHub('curve_test')
    hook = CurveHook(interval=2)
    train(hook, runner_in(tmp_path, hub), 0, 4)
    first = (tmp_path / 'curve.png').read_bytes()
    resumed = MessageHub('curve_test_resumed')
    resumed.load_state_dict(hub.state_dict())  # as a checkpoint keeps it
    train(CurveHook(interval=2), runner_in(tmp_path, resumed), 4, 6)
    points = resumed.get_info('curve')
    assert [(point['step'], point['loss']) for point in points if 'loss' in point] == [(2, 9.5), (4, 7.5), (6, 5.5)]
    assert [(point['step'], point['mIoU']) for point in points if 'mIoU' in point] == [(4, 4.), (6, 6.)]
    assert (tmp_path / 'curve.png').read_bytes() != first


def test_picture_shows_loss_and_metric(tmp_path):
    runner = runner_in(tmp_path, MessageHub('curve_test_picture'))
    hook = CurveHook(interval=1)
    train(hook, runner, 0, 4)
    train(hook, runner, 4, 8)
    picture = np.asarray(Image.open(io.BytesIO((tmp_path / 'curve.png').read_bytes())).convert('RGB'))
    height, width = picture.shape[:2]
    for half in (picture[:, :width // 2], picture[:, width // 2:]):  # a line in matplotlib's first colour in each
        assert (np.abs(half.astype(int) - (31, 119, 180)).sum(2) < 30).sum() > height // 2


def test_a_short_run_has_a_curve_too(tmp_path):
    hub = MessageHub('curve_test_short')
    train(CurveHook(), runner_in(tmp_path, hub, max_iters=8), 0, 8)
    assert sum('loss' in point for point in hub.get_info('curve')) == 8


def test_a_run_without_losses_or_validation__writes_no_picture(tmp_path):
    runner = runner_in(tmp_path, MessageHub('curve_test_empty'))
    hook = CurveHook()
    hook.after_train_iter(runner, 0, None, {})
    hook.after_train(runner)
    assert not list(tmp_path.iterdir())
