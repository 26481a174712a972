"""Sizes that torch.export holds open."""
from __future__ import annotations

import torch
from torch import Tensor


def is_symbolic(*sizes: int) -> bool:
    """Whether one of them is open: a question about it would be answered once, for all that the program is run with."""
    return any(isinstance(size, torch.SymInt) for size in sizes)


def crop(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut (..., H, W) to the upper left part, (..., h, w).

    With open sizes the part is copied: a slice that may be all of a map has one memory layout or another, which
    torch.export would have to choose.
    """
    if not is_symbolic(*size):
        return maps[..., :size[0], :size[1]]
    rows, columns = (torch.arange(side, device=maps.device) for side in size)
    return maps.index_select(-2, rows).index_select(-1, columns)
