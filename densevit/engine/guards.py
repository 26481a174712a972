"""Hooks that stop a run early, and say why."""
from __future__ import annotations

import math
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from ..datasets.checks import (
    check_classes,
    check_files,
    check_panoptic_files,
    check_same_classes,
    check_sample,
    check_stuff,
)
from ..registry import HOOKS


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite."""


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops a run whose loss is NaN or infinite, before anything of it is saved."""
    priority = 'VERY_HIGH'

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ``NonFiniteLossError`` with the iteration, the parts of the loss and the images."""
        values = {name: float(value.detach()) for name, value in (outputs or {}).items() if 'loss' in name}
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if not wrong:
            return
        names = [name for name in wrong if name != 'loss'] or wrong
        raise NonFiniteLossError(
            f'the loss is {values[wrong[0]]} at iteration {runner.iter + 1} ({", ".join(names)}) on '
            f'{", ".join(image_names(data_batch)) or "this batch"}: lower optim_wrapper.optimizer.lr, set '
            'optim_wrapper.clip_grad.max_norm, or look at these images; resume from the last checkpoint with --resume')


def image_names(data_batch: Any) -> list[str]:
    """Paths of a batch's images, as far as they are known."""
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
    return [sample.img_path for sample in samples if 'img_path' in sample]


def classes_of(model: nn.Module) -> tuple[int | None, str]:
    """The number of classes of a model, or of the head of a stock model, and its key in the config."""
    for path in ('decode_head', 'bbox_head', 'roi_head.bbox_head'):
        head = model
        for part in path.split('.'):
            head = getattr(head, part, None)
        if isinstance(head, nn.ModuleList):  # the stages of a cascade
            head = head[0]
        if type(head).__name__.endswith('RPNHead'):  # of any object at all, in mmdet's model of proposals alone
            continue
        if (num_classes := getattr(head, 'num_classes', None)) is not None:
            return num_classes, f'model.{path}.num_classes'
    return getattr(model, 'num_classes', None), 'model.num_classes'


def ignore_index_of(model: nn.Module) -> int:
    """Of a model, or of the head of a stock one."""
    head = getattr(model, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # the stages of a cascade, the last of which is the answer
        head = head[-1]
    return getattr(model, 'ignore_index', getattr(head, 'ignore_index', 255))


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Looks, before a run, for missing files, missing samples and labels that the model does not have.

    Args:
        samples: How many label maps to read.
    """
    priority = 'VERY_HIGH'

    def __init__(self, samples: int = 1) -> None:
        self.samples = samples

    def before_run(self, runner: Any) -> None:
        """Raises the errors of :mod:`densevit.datasets.checks`."""
        if not is_main_process():
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        num_classes = getattr(model, 'num_classes', None)
        first = None
        for name in ('train', 'val', 'test'):
            loader = getattr(getattr(runner, f'_{name}_loop'), 'dataloader', None)
            if loader is None:
                continue
            check_files(loader.dataset, name)
            check_classes(loader.dataset, *classes_of(model), name)
            first = first or (loader.dataset, name)
            check_same_classes(loader.dataset, first[0], name, first[1])
            if getattr(model, 'task', None) == 'panoptic':
                check_stuff(loader.dataset, model.stuff_classes, name)
            check_panoptic_files(loader.dataset, name)
            if name == 'train':
                for index in range(min(self.samples, len(loader.dataset))):
                    check_sample(loader.dataset[index], num_classes, ignore_index_of(model))
