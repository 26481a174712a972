"""What parts of a model do over a run, such as the annealing of EoMT's masks."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from ..registry import HOOKS


@HOOKS.register_module(name=['ProgressOfRunHook', 'MaskAnnealingHook'])
class ProgressOfRunHook(Hook):
    """Tells the modules of a model that have a method ``set_progress(share, **options)`` how much of the run is done.

    Args:
        **options: Arguments of that method beside the share, which is 0 at the first iteration and 1 at the end: for
            :meth:`densevit.EoMT.set_progress` ``starts``, ``length`` and ``power``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_train(self, runner: Any) -> None:
        """Find the modules. One that is resumed, or filled from a checkpoint, is set to where the run stands.

        Raises:
            TypeError: A module's method does not take an option.
        """
        # Of the class: a wrapper hands on the attributes of what it wraps.
        self._modules = [module for module in runner.model.modules() if hasattr(type(module), 'set_progress')]
        self._tell(runner, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        # A checkpoint or a validation after this iteration sees the model of the next one.
        self._tell(runner, runner.iter + 1)

    def _tell(self, runner: Any, step: int) -> None:
        for module in self._modules:
            module.set_progress(step / runner.max_iters, **self.options)
