"""Weights that a new run begins with."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn


class InitialWeightsHook(Hook):
    """Fills the model in place of mmengine's ``load_from``.

    mmengine runs what a pickle holds, and goes on when no name of the checkpoint fits.

    Args:
        load_weights: ``load_weights(model, path)``; what it returns goes to the log.
        path: Of the checkpoint.
    """
    priority = 'VERY_HIGH'

    def __init__(self, load_weights: Callable[[nn.Module, str], Any], path: str) -> None:
        self.load_weights = load_weights
        self.path = path

    def before_train(self, runner: Any) -> None:
        """Not ``before_run``, after which mmengine initialises the model."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        runner.logger.info(str(self.load_weights(model, self.path)))
