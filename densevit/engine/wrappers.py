"""What joins the processes of a run without GPUs."""
from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from torch import nn

from ..layers import synchronise_anywhere
from ..registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper for models on CPUs, where PyTorch's refuses its own synchronised batch norms.

    Those of ``sync_bn='torch'`` or of a model's config become :class:`densevit.layers.SyncBatchNorm`, which computes
    the same.
    """

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        super().__init__(synchronise_anywhere(module), **kwargs)
