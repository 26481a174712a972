"""Sine positions of a feature map: DETR (arXiv:2005.12872), appendix A.4."""
from __future__ import annotations

import math

import torch
from torch import Tensor


def sine_positions(
    size: tuple[int, int],
    dim: int,
    device: torch.device | None = None,
    temperature: float = 10000.,
) -> Tensor:
    """Sines and cosines of the rows' and columns' numbers, each from 1 to its count and scaled to 2 pi.

    Args:
        size: (h, w) of the map.
        dim: D; the first half tells the row, the second the column, sine and cosine by turns.
        temperature: The longest wave is that many times the shortest.

    Returns:
        (1, D, h, w), single precision.

    Raises:
        ValueError: If D is no multiple of 4.
    """
    if dim % 4:
        raise ValueError(f'sine positions need a width divisible by 4, not {dim}')
    half = dim // 2
    waves = temperature ** (2 * torch.arange(half // 2, device=device, dtype=torch.float32) / half)
    rows, columns = (_encode(length, waves) for length in size)
    grid = (rows.unsqueeze(2).expand(-1, -1, size[1]), columns.unsqueeze(1).expand(-1, size[0], -1))
    return torch.cat(grid).unsqueeze(0)


def _encode(length: int, waves: Tensor) -> Tensor:
    """(W,) waves to (2 * W, length)."""
    numbers = torch.arange(1, length + 1, device=waves.device, dtype=torch.float32)
    angles = numbers / (length + 1e-6) * (2 * math.pi) / waves.unsqueeze(1)
    return torch.stack((angles.sin(), angles.cos()), dim=1).flatten(0, 1)
