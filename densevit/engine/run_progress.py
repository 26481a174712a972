"""What parts of a model do over a run, such as the annealing of EoMT's masks."""
from __future__ import annotations

from inspect import signature
from typing import Any

from mmengine.hooks import Hook

from ..registry import HOOKS


@HOOKS.register_module(name=['ProgressOfRunHook', 'MaskAnnealingHook'])
class ProgressOfRunHook(Hook):
    """Tells the modules of a model that have a method ``set_progress(share, **options)`` how much of the run is done.

    Args:
        **options: Arguments of that method beside the share, which is 0 at the first iteration and 1 at the end: for
            :meth:`densevit.EoMT.set_progress` ``starts``, ``length`` and ``power``. A module gets those that its method
            takes.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_train(self, runner: Any) -> None:
        """Find the modules. One that is resumed, or filled from a checkpoint, is set to where the run stands.

        Raises:
            TypeError: No module's method takes an option.
        """
        # Of the class: a wrapper hands on the attributes of what it wraps.
        modules = [module for module in runner.model.modules() if hasattr(type(module), 'set_progress')]
        self._told = [(module, {name: value for name, value in self.options.items()
                                if name in signature(module.set_progress).parameters}) for module in modules]
        if unknown := self.options.keys() - {name for _, options in self._told for name in options}:
            raise TypeError(f'no part of the model has a set_progress that takes {sorted(unknown)[0]!r}: correct '
                            'custom_hooks')
        self._tell(runner, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        # A checkpoint or a validation after this iteration sees the model of the next one.
        self._tell(runner, runner.iter + 1)

    def _tell(self, runner: Any, step: int) -> None:
        for module, options in self._told:
            module.set_progress(step / runner.max_iters, **options)
