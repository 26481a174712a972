"""Absolute position embeddings at another grid size."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_pos_embed(
    pos_embed: Tensor,
    new_grid: tuple[int, int],
    old_grid: tuple[int, int] | None = None,
    num_prefix_tokens: int = 0,
    antialias: bool = True,
    interpolate_offset: float = 0.,
) -> Tensor:
    """Resize a learned position embedding with bicubic interpolation.

    The kernel differs between code bases even when upsampling, so it is explicit: timm and DINOv2 with registers
    use ``antialias=True``; MAE, detectron2, ViT-Adapter and DINOv2 without registers use ``antialias=False``, the
    last one with ``interpolate_offset=0.1`` (a scale factor of ``(new + 0.1) / old`` instead of ``new / old``).

    Args:
        pos_embed: (1, num_prefix_tokens + h * w, D).
        new_grid: (h', w') in tokens.
        old_grid: (h, w); a square when omitted.
        num_prefix_tokens: Leading entries that belong to no patch and are kept as they are.

    Returns:
        (1, num_prefix_tokens + h' * w', D) in the dtype of ``pos_embed``.
    """
    prefix, grid = pos_embed[:, :num_prefix_tokens], pos_embed[:, num_prefix_tokens:]
    if old_grid is None:
        side = round(grid.shape[1]**.5)
        old_grid = (side, side)
    if old_grid[0] * old_grid[1] != grid.shape[1]:
        raise ValueError(f'a position embedding of {grid.shape[1]} patches does not fill a grid of '
                         f'{old_grid[0]}x{old_grid[1]}; pass its true grid as old_grid')
    if tuple(old_grid) == tuple(new_grid):
        return pos_embed
    maps = grid.float().reshape(1, *old_grid, -1).permute(0, 3, 1, 2)  # (1, D, h, w)
    if interpolate_offset:
        scale = [(new + interpolate_offset) / old for new, old in zip(new_grid, old_grid, strict=True)]
        maps = F.interpolate(maps, scale_factor=scale, mode='bicubic', antialias=antialias)
    else:
        maps = F.interpolate(maps, size=tuple(new_grid), mode='bicubic', antialias=antialias)
    grid = maps.permute(0, 2, 3, 1).flatten(1, 2).to(pos_embed.dtype)  # (1, h' * w', D)
    return torch.cat((prefix, grid), dim=1)
