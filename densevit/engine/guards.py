"""Hooks that stop a run early, and say why."""
from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from rich.console import Console
from rich.progress import Progress
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ..datasets.common.checks import (
    check_classes,
    check_files,
    check_same_classes,
    check_stock_coco,
    classes_of,
    summary,
)
from ..datasets.common.file_facts import FactsMemory
from ..datasets.common.survey import leaves, survey
from ..datasets.tasks import task_checks
from ..errors import printable
from ..models import check_model
from ..registry import HOOKS
from .distributed import any_process, decide_once

_LEAST_SCALE = 1e-4  # that of fairseq


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient became NaN or infinite."""


@HOOKS.register_module()
class CheckModelHook(Hook):
    """Refuses a model whose neck or heads do not fit a backbone of ours (:func:`densevit.check_model`).

    The tools do so by themselves; in ``custom_hooks`` it is for training with OpenMMLab's own.
    """
    priority = 'VERY_HIGH'

    def before_run(self, runner: Any) -> None:
        check_model(runner.model)


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops a run whose loss or gradient is NaN or infinite, before the optimizer learns from it.

    A step whose gradient norm is not finite is left out in all processes. A loss scaler (``AmpOptimWrapper``) leaves
    such steps out by itself, which is normal until it has no scale left to try.

    Args:
        max_skipped: How many such steps in a row may be left out before the run is stopped; they are counted in the log
            as ``skipped_steps``. With 0 the first one stops it.
    """
    priority = 'VERY_HIGH'

    def __init__(self, max_skipped: int = 0) -> None:
        self.max_skipped = max_skipped
        self.skipped = self.in_a_row = 0
        self.norm: float | None = None  # of the gradient of a step that was left out in this iteration

    def before_train(self, runner: Any) -> None:
        self.skipped = runner.message_hub.runtime_info.get('skipped_steps', 0)
        counts = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        self.images: deque[list[str]] = deque(maxlen=counts)  # of the batches that a gradient is summed over
        for wrapper in _wrappers(runner.optim_wrapper):
            if isinstance(wrapper.optimizer, Optimizer):  # DeepSpeed has its own
                wrapper.optimizer.register_step_pre_hook(partial(self._before_step, wrapper))

    def _before_step(self, wrapper: OptimWrapper, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if getattr(optimizer, 'found_inf', None) is not None:  # a fused one, which the loss scaler tells
            return
        norm = _gradient_norm(wrapper, optimizer)
        if not any_process(not math.isfinite(norm)):
            self.in_a_row = 0
            return
        for group in optimizer.param_groups:
            for parameter in group['params']:
                parameter.grad = None  # the step passes over it
        self.norm = norm
        self.skipped += 1
        self.in_a_row += 1

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ``NonFiniteLossError`` with the iteration, the parts of the loss and the images."""
        self.images.append(image_names(data_batch))
        values = {name: float(value.detach()) for name, value in (outputs or {}).items() if 'loss' in name}
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        norm, self.norm = self.norm, None
        if wrong and not self.max_skipped:
            names = [name for name in wrong if name != 'loss'] or wrong
            raise self._error(runner, f'the loss is {values[wrong[0]]}', f' ({", ".join(names)})')
        if norm is not None and self.in_a_row > self.max_skipped:
            raise self._error(runner, f'the norm of the gradient is {norm}', (
                f' ({self.in_a_row} times in a row)' if self.max_skipped else ''))
        for wrapper in _wrappers(runner.optim_wrapper):
            if (scaler := getattr(wrapper, 'loss_scaler', None)) and scaler.get_scale() < _LEAST_SCALE:
                raise self._error(runner, f'the gradient overflows in fp16 even with a loss scale below {_LEAST_SCALE}')
        if self.skipped:
            runner.message_hub.update_info('skipped_steps', self.skipped)
            runner.message_hub.update_scalar('train/skipped_steps', self.skipped)

    def _error(self, runner: Any, what: str, which: str = '') -> NonFiniteLossError:
        images = [name for names in self.images for name in names]
        return NonFiniteLossError(
            f'{what} at iteration {runner.iter + 1}{which} on {", ".join(images) or "this batch"}: lower '
            'optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad.max_norm, or look at these images; then go on '
            "from the last checkpoint with --resume. dict(type='densevit.NonFiniteLossHook', max_skipped=10) in "
            'custom_hooks leaves such steps out')

    def after_train(self, runner: Any) -> None:
        if self.skipped:
            runner.logger.warning(f'{self.skipped} steps were left out, whose gradients were NaN or infinite')


def _wrappers(wrapper: OptimWrapper) -> list[OptimWrapper]:
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _gradient_norm(wrapper: OptimWrapper, optimizer: Optimizer) -> float:
    """The norm over all parameters of an optimizer, before they are clipped."""
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group['params']
                 if parameter.grad is not None]
    if gradients and wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm':  # is known by now
        return float(wrapper.message_hub.get_scalar('train/grad_norm').current())
    return float(get_total_norm(gradients))


def image_names(data_batch: Any) -> list[str]:
    """The paths of a batch's images, as far as they are known."""
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
    return [sample.img_path for sample in samples if 'img_path' in sample]


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Looks at the data before a run: at files, sizes, label maps and annotations of all splits that the run has.

    What cannot be learned from or compared with is refused, and a table of what there is goes to the log. What was
    read is kept in ``data_check.json`` of the work dir, so that the next start reads only what has changed.

    Args:
        samples: How many training images to take through the pipeline.
        max_files: In a split with more images than this only so many are looked at, evenly spread; None is all.
    """
    priority = 'VERY_HIGH'

    def __init__(self, samples: int = 1, max_files: int | None = 20000) -> None:
        self.samples, self.max_files = samples, max_files

    def before_run(self, runner: Any) -> None:
        """Raises the errors of :mod:`densevit.datasets.common` and of the checks of each task."""
        decide_once(partial(self._look, runner))

    def _look(self, runner: Any) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loops = {name: getattr(runner, f'_{name}_loop') for name in ('train', 'val', 'test')}
        datasets = {name: loop.dataloader.dataset for name, loop in loops.items() if hasattr(loop, 'dataloader')}
        metrics = {name: getattr(getattr(loop, 'evaluator', None), 'metrics', ()) for name, loop in loops.items()}
        tasks = {name: [checks.of(model, dataset, metrics[name]) for checks in task_checks()]
                 for name, dataset in datasets.items()}
        memory, surveys, first = FactsMemory(Path(runner.work_dir) / 'data_check.json'), {}, next(iter(datasets), '')
        for name, dataset in datasets.items():
            check_files(dataset, name)
            remarks = check_stock_coco(dataset, name)
            if name == first:
                check_classes(dataset, *classes_of(model), name)
            check_same_classes(dataset, datasets[first], name, first)
            for task in tasks[name]:
                task.check_dataset(dataset, name)
            try:
                with _bar(f'looking at the {name} data', sum(map(len, leaves(dataset)))) as advance:
                    surveys[name] = survey(dataset, name, tasks[name], memory, self.max_files, advance)
            finally:
                memory.save()
            surveys[name].remarks.update(remarks)
            if name != 'train':
                for task in tasks[name]:
                    task.check_loaded(dataset, name)
        lines = map(printable, summary(surveys, datasets, tasks))  # which hold names of files and classes
        runner.logger.info('\n'.join(['before the run:', *lines]))
        for index in range(min(self.samples, len(datasets.get('train', ())))):
            sample = datasets['train'][index]
            for task in tasks['train']:
                task.check_sample(sample)


@contextmanager
def _bar(text: str, total: int) -> Iterator[Callable[[], Any]]:
    """A bar on a terminal's stderr, gone when it is full; what moves it on."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)
