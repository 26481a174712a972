"""Weights that are numbers."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def non_finite(state: Mapping[str, Any], masks: bool = True) -> list[str]:
    """Names of the tensors that hold NaN or infinite values.

    Args:
        state: Tensors by name; what is not of floating point is passed over.
        masks: Whether some may be masks that are added to attention, zeros and minus infinity, which are none of them.
    """
    return [name for name, tensor in state.items()
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not _is_finite(tensor.detach(), masks)]


def _is_finite(tensor: Tensor, masks: bool) -> bool:
    # A sum allocates nothing, and is NaN or infinite where a summand is; the reverse does not hold quite always.
    dtype = torch.promote_types(tensor.dtype, torch.float32) if tensor.dtype.itemsize > 1 else None
    if dtype is not None and math.isfinite(tensor.sum(dtype=dtype)):
        return True
    values = tensor if dtype is not None else tensor.float()  # 8 bits know few operations
    finite = torch.isfinite(values)
    if finite.all():
        return True
    return masks and bool(finite.any() and not values[finite].any() and torch.isneginf(values[~finite]).all())
