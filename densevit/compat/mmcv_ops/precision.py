"""The working precision of the stand-in operators."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """Return ``x`` in float64 if it is that already, otherwise in float32.

    A half-precision coordinate above 1024 has steps of one pixel and more, so an operator which samples at computed
    positions loses its place. torchvision widens the same operators under autocast.
    """
    return x if x.dtype == torch.float64 else x.float()
