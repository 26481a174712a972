"""How far a run has come: loss, rate, remaining time and memory."""
from __future__ import annotations

import logging
import sys
import time
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..registry import HOOKS

_live: list[ProgressHook] = []


def stop_progress() -> None:
    """Take the bars off the terminal, so that a message can be written below them."""
    for hook in list(_live):
        hook.stop()


def memory_gb() -> float:
    """Most memory that this process has had, in GB: on the GPU if there is one, else resident (0 on Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        import resource  # of Unix
    except ImportError:
        return 0.
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


@HOOKS.register_module()
class ProgressHook(Hook):
    """A bar on a terminal; elsewhere the log lines of mmengine, which it gives the rate and the memory.

    Args:
        smoothing: Weight of the newest iteration in the displayed rate.
    """

    def __init__(self, smoothing: float = .1) -> None:
        self.smoothing = smoothing
        self.progress: Progress | None = None
        self.tasks: dict[str, Any] = {}
        self.rate = 0.
        self.last = time.perf_counter()

    def before_train(self, runner: Any) -> None:
        self._begin(runner, 'train', runner.max_iters, runner.iter)

    def before_val_epoch(self, runner: Any) -> None:
        self._begin(runner, 'val', len(runner.val_dataloader))

    def before_test_epoch(self, runner: Any) -> None:
        self._begin(runner, 'test', len(runner.test_dataloader))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == 0:
            self.last = time.perf_counter()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measure(data_batch)
        runner.message_hub.update_scalar('train/images_per_s', self.rate)
        runner.message_hub.update_scalar('train/memory_gb', memory_gb())
        self._advance('train', runner.iter + 1, outputs)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measure(data_batch)
        self._advance('val', batch_idx + 1)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._measure(data_batch)
        self._advance('test', batch_idx + 1)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        self._end('val')

    def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
        self._end('test')

    def after_train(self, runner: Any) -> None:
        self._end('train')

    def _measure(self, data_batch: Any) -> None:
        """Update the images per second of all processes together."""
        now = time.perf_counter()
        size = len(data_batch['inputs']) if isinstance(data_batch, dict) and 'inputs' in data_batch else 1
        rate = size * get_world_size() / max(now - self.last, 1e-9)
        self.rate = rate if not self.rate else self.rate + self.smoothing * (rate - self.rate)
        self.last = now

    def _begin(self, runner: Any, name: str, total: int, completed: int = 0) -> None:
        self.rate, self.last = 0., time.perf_counter()
        if not is_main_process() or not sys.stdout.isatty():
            return
        if self.progress is None:
            self.progress = Progress(
                TextColumn('{task.description}'), BarColumn(24), MofNCompleteColumn(),
                TextColumn('{task.fields[facts]}'), TimeRemainingColumn(elapsed_when_finished=True))
            self.progress.start()
            _move_log(runner.logger)  # now that rich has put its own stream in the place of stdout
            self.logger = runner.logger
            _live.append(self)
        self.tasks[name] = self.progress.add_task(name, total=total, completed=completed, facts='')

    def _advance(self, name: str, completed: int, outputs: Any = None) -> None:
        if name not in self.tasks:
            return
        loss = f'loss {float(outputs["loss"].detach()):.4g}  ' if outputs and 'loss' in outputs else ''
        facts = f'{loss}{self.rate:.3g} img/s  {memory_gb():.2f} GB'
        self.progress.update(self.tasks[name], completed=completed, facts=facts)

    def _end(self, name: str) -> None:
        self.rate, self.last = 0., time.perf_counter()  # training after a validation is measured anew
        if name in self.tasks:
            task = self.tasks.pop(name)
            if self.tasks:  # validation during training: its bar goes, that of the training stays
                self.progress.remove_task(task)
            else:
                self.stop()

    def stop(self) -> None:
        """End the display and give the log its stream back."""
        if self.progress is not None:
            self.progress.stop()
            _move_log(self.logger)
            _live.remove(self)
            self.progress, self.tasks = None, {}


def _move_log(logger: logging.Logger) -> None:
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.setStream(sys.stdout)
