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


def tile_pos_embed(window_embed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Repeat the position embedding of one window over a grid, so that every window sees the same positions.

    Section 4 of Window Attention is Bugged (arXiv 2311.05613): an embedding that is stretched over the image gives
    each window positions that the window never had in pre-training.

    Args:
        window_embed: (1, C, wh, ww).
        grid: (h, w) in tokens; the last windows may be cut.

    Returns:
        (1, C, h, w).
    """
    (h, w), (wh, ww) = grid, window_embed.shape[-2:]
    return window_embed.repeat(1, 1, -(-h // wh), -(-w // ww))[..., :h, :w]


def absolute_window_pos_embed(
    window_embed: Tensor,
    global_embed: Tensor | None,
    grid: tuple[int, int],
    antialias: bool = True,
) -> Tensor:
    """The sum of a tiled window embedding and a stretched global one (absolute win, arXiv 2311.05613, section 4).

    Args:
        window_embed: (1, C, wh, ww), repeated over the grid.
        global_embed: (1, C, gh, gw), resized to the grid with bicubic interpolation; None for the tiled part alone.
        grid: (h, w) in tokens.
        antialias: Of the resizing: timm's Hiera uses True, SAM 2 False.

    Returns:
        (1, C, h, w).
    """
    tiled = tile_pos_embed(window_embed, grid)
    if global_embed is None:
        return tiled
    return tiled + resize_pos_map(global_embed, grid, antialias)


def resize_pos_map(pos_map: Tensor, grid: tuple[int, int], antialias: bool = True) -> Tensor:
    """Positions that are stored as a map, at another grid: bicubic, in single precision whatever the dtype.

    Args:
        pos_map: (1, C, h, w).
        grid: (h', w') in tokens; equal to (h, w), the map is returned as it is.
        antialias: See :func:`resize_pos_embed`.

    Returns:
        (1, C, h', w') in the dtype of ``pos_map``.
    """
    if tuple(pos_map.shape[-2:]) == tuple(grid):
        return pos_map
    resized = F.interpolate(pos_map.float(), size=tuple(grid), mode='bicubic', antialias=antialias)
    return resized.to(pos_map.dtype)
