"""A hook that takes the chance out of the loss and notes its values; named by a config's ``custom_imports``."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

_rand = torch.rand


def fixed_rand(*size: int, **kwargs: Any) -> torch.Tensor:
    """The same points (P, 2) for every mask of every image, wherever they are asked for."""
    if len(size) < 2 or size[-1] != 2:
        return _rand(*size, **kwargs)
    points = _rand(*size[-2:], generator=torch.Generator().manual_seed(0))
    return points.expand(size).clone().to(kwargs.get('device', 'cpu'))


@HOOKS.register_module(force=True)
class FixedPointsHook(Hook):
    def before_train(self, runner: Any) -> None:
        torch.rand = fixed_rand
        self.losses: list[dict[str, float]] = []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.losses.append({name: float(value) for name, value in outputs.items() if 'loss' in name})

    def after_train(self, runner: Any) -> None:
        torch.rand = _rand
        Path(runner.work_dir, f'losses_{get_rank()}.json').write_text(json.dumps(self.losses))
