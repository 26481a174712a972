"""Ending a run whose validations do not improve any more."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mmengine.hooks import Hook

from ..registry import HOOKS
from .checkpoints import AtomicCheckpointHook, better_end, task_metric


@HOOKS.register_module()
class PatienceHook(Hook):
    """Ends a run after some validations without a better figure; unlike mmengine's ``EarlyStoppingHook`` it resumes.

    The best figure and its place are part of the checkpoints, so that a run that is resumed stops where one that was
    never stopped does. A checkpoint is saved at the end; ``default_hooks.checkpoint.save_best`` keeps the best one.

    Args:
        monitor: Name of a figure of the validation, such as ``'AP50'``, or ``'auto'`` for that of the task.
        patience: Validations without improvement after which the run ends.
        min_delta: By how much a figure has to be better.
        rule: Which end of the figure is better, where its name does not tell.

    Raises:
        KeyError: The validation has no such figure.
        ValueError: The name does not tell which end is better.
    """
    priority = 'LOW'  # after the EMAHook and before the checkpoint of the best, which has to have the new state

    def __init__(self, monitor: str = 'auto', patience: int = 5, min_delta: float = 0.,
                 rule: Literal['greater', 'less'] | None = None) -> None:
        if patience < 1:
            raise ValueError(f'custom_hooks: PatienceHook has patience={patience}: give a whole number from 1 on')
        self.monitor, self.patience, self.min_delta, self.rule = monitor, patience, min_delta, rule
        self._training = False

    def before_train(self, runner: Any) -> None:
        """A run that has ended does not go on when it is resumed, unless its patience became longer."""
        self._training = True
        self._stop_if_over(runner)

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, Any] | None = None) -> None:
        if not self._training or not metrics:
            return
        key = task_metric(metrics) if self.monitor == 'auto' else self.monitor
        if key not in metrics:
            raise KeyError(f"custom_hooks: monitor='{key}' of PatienceHook is none of what the validation gives: "
                           f"choose of {', '.join(metrics)}, or 'auto'")
        rule = self.rule or better_end(key)
        if rule is None:
            raise ValueError(f"custom_hooks: PatienceHook does not know which end of {key} is better: set its rule to "
                             "'greater' or 'less'")
        sign = 1 if rule == 'greater' else -1
        best = runner.message_hub.runtime_info.get('patience_best')
        # A figure that is NaN is no improvement.
        if best is None or sign * (float(metrics[key]) - best) > self.min_delta:
            runner.message_hub.update_info('patience_best', float(metrics[key]))
            runner.message_hub.update_info('patience_since', _now(runner))
        if self._stop_if_over(runner):
            for hook in runner.hooks:
                if isinstance(hook, AtomicCheckpointHook):
                    hook.save_now(runner, runner.iter)

    def _stop_if_over(self, runner: Any) -> bool:
        """Counted from the iteration of the best figure, which no kill between two checkpoints loses."""
        info = runner.message_hub.runtime_info
        if 'patience_since' not in info:
            return False
        waited = (_now(runner) - info['patience_since']) // runner.train_loop.val_interval
        if waited < self.patience:
            return False
        runner.train_loop.stop_training = True
        runner.logger.info(
            f'the run ends early: {waited} validations in a row were not better than {info["patience_best"]:.4f}; to '
            'go on, raise the patience of PatienceHook in custom_hooks and resume')
        return True


def _now(runner: Any) -> int:
    """Iterations, or epochs where validations are counted in them."""
    return runner.epoch if hasattr(runner.train_loop, 'run_epoch') else runner.iter
