"""Signals that end a run after the iteration at hand, with a checkpoint."""
from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from torch.utils.data import DataLoader

from .checkpoints import AtomicCheckpointHook
from .distributed import any_process

# Of Slurm, Kubernetes and kill; of a terminal that closes, which Windows has not; of Ctrl-C.
_SIGNALS = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP', 'SIGINT') if hasattr(signal, name)]
# A scheduler signals all processes of a job, and torchrun hands on what it got itself.
_ECHO_SECONDS = 2.


class RunStopped(Exception):
    """A signal ended the run.

    Attributes:
        signal: Its number.
        checkpoint: From which the run can be continued; None if there is none.
    """

    def __init__(self, number: int, checkpoint: str | None) -> None:
        super().__init__(f'stopped by {signal.Signals(number).name}')
        self.signal, self.checkpoint = number, checkpoint


class StopSignalHook(Hook):
    """Lets SIGTERM, SIGHUP and Ctrl-C end a training after the iteration at hand, and saves it.

    All processes stop at the same iteration, whichever got the signal. It ends a validation as well, which is lost. A
    second signal ends the process at once, and a signal that is ignored (``nohup``) stays so.
    """
    priority = 'LOWEST'  # after the checkpoint of the iteration

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.
        self._training = False
        self._replaced: dict[int, Any] = {}

    def before_run(self, runner: Any) -> None:
        """Keep the signals from processes that load data: without them no iteration can be finished."""
        loaders = [getattr(getattr(runner, name), 'dataloader', None) for name in ('_train_loop', '_val_loop')]
        for loader in loaders:
            if isinstance(loader, DataLoader):
                loader.worker_init_fn = partial(_init_shielded, loader.worker_init_fn)

    def before_train(self, runner: Any) -> None:
        self._training = True
        if threading.current_thread() is not threading.main_thread():  # the only one that is told of signals
            return
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._replaced[number] = signal.signal(number, self._receive)

    def restore(self) -> None:
        """Give the signals back to whoever had them before."""
        while self._replaced:
            signal.signal(*self._replaced.popitem())

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None and time.monotonic() - self._since < _ECHO_SECONDS:
            return
        if self.received is not None:
            self.restore()
            signal.raise_signal(number)
            return
        self.received, self._since = number, time.monotonic()
        if is_main_process():  # not print, which may be what was interrupted
            os.write(2, f'{signal.Signals(number).name}: the run ends after this iteration; another signal ends it '
                        'at once\n'.encode())

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ``RunStopped`` where a signal was received, unless gradients are being accumulated."""
        if isinstance(runner.optim_wrapper, OptimWrapperDict) or runner.optim_wrapper.should_update():
            self._stop_if_told(runner, runner.iter + 1)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ``RunStopped`` in a validation during a training, too."""
        if self._training and _all_reach(batch_idx, runner.val_dataloader):
            self._stop_if_told(runner, runner.iter, validating=True)

    def _stop_if_told(self, runner: Any, step: int, validating: bool = False) -> None:
        if not any_process(self.received is not None):
            return
        for hook in runner.hooks:
            if validating and isinstance(hook, EMAHook):
                hook.after_val_epoch(runner)  # the weights change places with their averages again
        saved = [hook.save_now(runner, step) for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        raise RunStopped(self.received or signal.SIGTERM, next(iter(saved), None))


def _all_reach(batch_idx: int, loader: DataLoader) -> bool:
    """Whether each process has this batch, whatever becomes of images that cannot be divided evenly."""
    processes, size = get_world_size(), loader.batch_size
    if processes == 1 or size is None:  # of a batch sampler, which is its own master
        return processes == 1
    return batch_idx < len(loader.dataset) // (processes * size)


def _init_shielded(init: Callable[[int], None] | None, worker: int) -> None:
    """Ignore the signals in a data loader's process, but for the SIGTERM with which its parent ends it."""
    for number in set(_SIGNALS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS and Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()
    if init is not None:
        init(worker)


def _obey_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
