"""What of a model learns, said before it does."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch import nn


class TrainedParametersHook(Hook):
    """Logs in a line how many parameters learn: a part that was meant to be frozen, or to learn, is seen at once."""

    def before_train(self, runner: Any) -> None:
        runner.logger.info(trained_parameters(runner.model))


def trained_parameters(model: nn.Module) -> str:
    """How many parameters of a model learn, and how many of these are low-rank adapters'."""
    total = trained = adapters = 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if parameter.requires_grad:
            trained += parameter.numel()
            adapters += parameter.numel() if '.lora_' in name else 0
    of_adapters = f', {adapters:,} of them in adapters (LoRA)' if adapters else ''
    return f'{trained:,} of {total:,} parameters are trained ({trained / max(total, 1):.1%}){of_adapters}'
