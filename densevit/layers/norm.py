"""Batch normalisation over all processes of a run."""
from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch norm whose statistics are those of all processes, wherever they can be: for tensors on accelerators.

    torch's refuses tensors on a CPU as soon as processes are joined (gloo); here each process then uses its own, so
    that one config runs anywhere. Same arguments and state-dict names.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same shape."""
        return _BatchNorm.forward(self, input) if input.device.type == 'cpu' else super().forward(input)
