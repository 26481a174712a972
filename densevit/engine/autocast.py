"""Mixed precision on any device."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Autocast without loss scaling, for bfloat16 on a CPU or GPU; mmengine's ``AmpOptimWrapper`` asserts a GPU.

    Args:
        dtype: ``'bfloat16'``, which needs no loss scaling.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dtype != 'bfloat16':
            raise ValueError(f"AutocastOptimWrapper takes dtype='bfloat16', not '{dtype}'; float16 needs loss scaling: "
                             "use type='AmpOptimWrapper' on a GPU")

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
