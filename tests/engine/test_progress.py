from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from densevit.engine import ProgressHook
from densevit.engine.progress import memory_gb, stop_progress


@pytest.fixture
def runner():
    scalars = {}
    logger = logging.Logger('test')
    logger.addHandler(logging.StreamHandler(sys.stdout))
    return SimpleNamespace(
        iter=0, max_iters=3, logger=logger, val_dataloader=[0, 1], scalars=scalars,
        message_hub=SimpleNamespace(update_scalar=scalars.__setitem__))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(hook, runner, iterations=3):
    hook.before_train(runner)
    for index in range(iterations):
        runner.iter = index
        hook.before_train_iter(runner, index)
        hook.after_train_iter(runner, index, dict(inputs=[0, 0]), dict(loss=torch.tensor(.5)))


def test_log_has_rate_and_memory(runner):
    hook = ProgressHook()
    train(hook, runner)
    assert hook.progress is None  # no terminal
    assert runner.scalars['train/images_per_s'] > 0
    assert .05 < runner.scalars['train/memory_gb'] == memory_gb() < 1000


def test_rate_of_training_has_nothing_of_validation(runner, monkeypatch):
    clock = [0.]
    monkeypatch.setattr('time.perf_counter', lambda: clock[0])
    hook = ProgressHook()

    def step(function, index, seconds):
        clock[0] += seconds
        function(runner, index, dict(inputs=[0, 0]))

    hook.before_train(runner)
    step(hook.after_train_iter, 0, 1.)
    hook.before_val_epoch(runner)
    step(hook.after_val_iter, 0, .001)
    hook.after_val_epoch(runner)
    step(hook.after_train_iter, 1, 1.)
    assert runner.scalars['train/images_per_s'] == pytest.approx(2)


def test_memory_is_unknown_without_the_module_of_unix(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setitem(sys.modules, 'resource', None)
    assert memory_gb() == 0


def test_bar_on_a_terminal(runner, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stdout', terminal)
    monkeypatch.setenv('COLUMNS', '120')
    monkeypatch.setenv('TERM', 'xterm')
    hook = ProgressHook()
    train(hook, runner, 2)
    handler = runner.logger.handlers[0]
    assert handler.stream is not terminal  # the log goes above the bar
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, dict(inputs=[0]))
    hook.after_val_epoch(runner)
    assert hook.progress is not None
    stop_progress()
    assert hook.progress is None and handler.stream is terminal
    text = terminal.getvalue()
    assert '2/3' in text and 'loss 0.5' in text and 'img/s' in text and 'GB' in text
