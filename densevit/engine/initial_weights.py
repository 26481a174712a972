"""Weights that a new run begins with."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ..registry import HOOKS
from ..weights import load_weights


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Fills the model by :func:`densevit.load_weights`, in place of mmengine's ``load_from``.

    mmengine runs what a pickle holds, and goes on when no name of the checkpoint fits. A run that is resumed keeps the
    weights that it has.

    Args:
        path: A checkpoint under our names or official ones; also a URL or a folder of Hugging Face.
        base: The weights that a checkpoint of differences refers to: DINOv3's for EoMT-DINOv3.
        new_classes: Leave the class heads as they are, to learn other classes.
    """
    priority = 'VERY_HIGH'

    def __init__(self, path: str, base: str | None = None, new_classes: bool = False) -> None:
        self.path, self.base, self.new_classes = path, base, new_classes

    def before_train(self, runner: Any) -> None:
        """Not ``before_run``, after which mmengine initialises the model."""
        if runner.iter:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        report = load_weights(model, self.path, base=self.base, load_class_head=not self.new_classes)
        runner.logger.info(str(report))
