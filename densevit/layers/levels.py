"""Feature maps of several levels as one token sequence, finest first, each map row by row."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .sine_positions import sine_positions

Grid = tuple[int, int]


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """Join maps (B, D, h_l, w_l) to tokens (B, N, D), N being the sum of h_l * w_l."""
    return torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)


def tokens_with_positions(x: Tensor) -> tuple[Tensor, Tensor]:
    """One map (B, D, h, w) as tokens (B, N, D), and their sine positions (1, N, D), as in DETR."""
    positions = sine_positions(tuple(x.shape[-2:]), x.shape[1], x.device).to(x.dtype)
    return flatten_levels([x]), flatten_levels([positions])


def split_levels(tokens: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """Split tokens (B, N, D) into the maps (B, D, h_l, w_l) that they were made of."""
    parts = tokens.transpose(1, 2).split([h * w for h, w in grids], dim=2)
    return [x.unflatten(2, grid) for x, grid in zip(parts, grids, strict=True)]


def add_to_level(tokens: Tensor, grids: Sequence[Grid], level: int, added: Tensor) -> Tensor:
    """Tokens (B, N, D) with (B, h_l * w_l, D) added to those of one level."""
    parts = list(tokens.split([h * w for h, w in grids], dim=1))
    parts[level] = parts[level] + added
    return torch.cat(parts, dim=1)


def reference_points(grids: Sequence[Grid], device: torch.device) -> Tensor:
    """Centres of all cells as x and y in [0, 1] over a whole map: (1, N, 1, 2), the same for each attended level."""
    points = []
    for h, w in grids:
        x = (torch.arange(w, device=device, dtype=torch.float32) + .5) / w
        y = (torch.arange(h, device=device, dtype=torch.float32) + .5) / h
        points.append(torch.stack((x.expand(h, w), y.unsqueeze(1).expand(h, w)), dim=-1).flatten(0, 1))
    return torch.cat(points)[None, :, None]
