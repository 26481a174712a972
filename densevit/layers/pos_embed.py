"""Absolute position embeddings at another grid size."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kernel = Literal['bicubic', 'bilinear']


def resize_pos_embed(
    pos_embed: Tensor,
    new_grid: tuple[int, int],
    old_grid: tuple[int, int] | None = None,
    num_prefix_tokens: int = 0,
    antialias: bool = True,
    interpolate_offset: float = 0.,
    kernel: Kernel = 'bicubic',
) -> Tensor:
    """Resize a learned position embedding.

    How differs between code bases even when upsampling, so it is explicit: timm and DINOv2 with registers
    use ``antialias=True``; MAE, detectron2, ViT-Adapter and DINOv2 without registers use ``antialias=False``, the
    last one with ``interpolate_offset=0.1`` (a scale factor of ``(new + 0.1) / old`` instead of ``new / old``); DPT
    and MiDaS use ``antialias=False, kernel='bilinear'``.

    Args:
        pos_embed: (1, num_prefix_tokens + h * w, D).
        new_grid: (h', w') in tokens.
        old_grid: (h, w); a square when omitted.
        num_prefix_tokens: Leading entries that belong to no patch and are kept as they are.
        antialias, interpolate_offset, kernel: As said above.

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
    if is_native(new_grid, old_grid):
        return pos_embed
    maps = grid.reshape(1, *old_grid, -1).permute(0, 3, 1, 2)  # (1, D, h, w)
    maps = interpolate_positions(maps, new_grid, antialias, interpolate_offset, kernel)
    grid = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (1, h' * w', D)
    return torch.cat((prefix, grid), dim=1)


def tile_pos_embed(window_embed: Tensor, grid: tuple[int, int]) -> Tensor:
    """Repeat the position embedding of one window over a grid, so that every window sees the same positions.

    Section 4 of Window Attention is Bugged (arXiv:2311.05613): an embedding that is stretched over the image gives
    each window positions that the window never had in pre-training.

    Args:
        window_embed: (1, C, wh, ww).
        grid: (h, w) in tokens; the last windows may be cut.

    Returns:
        (1, C, h, w).
    """
    rows, columns = (
        torch.arange(side, device=window_embed.device) % window
        for side, window in zip(grid, window_embed.shape[-2:], strict=True))
    return window_embed.index_select(2, rows).index_select(3, columns)


def absolute_window_pos_embed(
    window_embed: Tensor,
    global_embed: Tensor | None,
    grid: tuple[int, int],
    antialias: bool = True,
) -> Tensor:
    """The sum of a tiled window embedding and a stretched global one (absolute win, arXiv:2311.05613, section 4).

    Args:
        window_embed: (1, C, wh, ww), repeated over the grid.
        global_embed: (1, C, gh, gw), resized to the grid with bicubic interpolation; None for the tiled part alone.
        grid: (h, w) in tokens.
        antialias: Whether the global part is smoothed as it is resized: timm's Hiera does so, SAM 2 does not.

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
    return pos_map if is_native(grid, pos_map.shape[-2:]) else interpolate_positions(pos_map, grid, antialias)


def is_native(grid: Sequence[int], stored: Sequence[int]) -> bool:
    """Whether nothing has to be resized. A compiler is told that it has, so that its graph serves every grid."""
    return not torch.compiler.is_compiling() and tuple(grid) == tuple(stored)


def interpolate_positions(
    maps: Tensor,
    size: tuple[int, int],
    antialias: bool = True,
    offset: float = 0.,
    kernel: Kernel = 'bicubic',
) -> Tensor:
    """``F.interpolate``, bicubic or bilinear, for sizes that a compiler does not know too.

    Args:
        maps: (B, C, h, w).
        size: (h', w').
        antialias: See :func:`resize_pos_embed`.
        offset: Added to h' and w' where the scale is found, unless the maps keep their size.
        kernel: ``'bicubic'`` or ``'bilinear'``.

    Returns:
        (B, C, h', w'), computed in single precision, in the dtype of ``maps``.
    """
    if torch.compiler.is_compiling():
        # PyTorch's operator has no gradient with symbolic sizes (an internal error in 2.14), and other runtimes have
        # other kernels; all know matrix products.
        old = maps.shape[-2:]
        new = [torch.full((), side, dtype=torch.float32, device=maps.device) for side in size]
        is_resized = (new[0] != old[0]) | (new[1] != old[1])
        rows, columns = (
            _weights(before, after, before / (exact + offset * is_resized), antialias, kernel)
            for before, after, exact in zip(old, size, new, strict=True))
        with torch.autocast(maps.device.type, enabled=False):
            return (rows @ maps.float() @ columns.t()).to(maps.dtype)
    if offset:
        scale = [(new + offset) / old for new, old in zip(size, maps.shape[-2:], strict=True)]
        resized = F.interpolate(maps.float(), scale_factor=scale, mode=kernel, antialias=antialias)
    else:
        resized = F.interpolate(maps.float(), tuple(size), mode=kernel, antialias=antialias)
    return resized.to(maps.dtype)


def _weights(old: int, new: int, scale: Tensor, antialias: bool, kernel: Kernel) -> Tensor:
    """(new, old): shares of the old entries in each new one; ``scale`` is how many old ones a new one spans."""
    centres = (torch.arange(new, device=scale.device) + .5) * scale
    entries = torch.arange(old, device=scale.device)
    if antialias:
        places = (entries + .5 - centres.unsqueeze(1)) / scale.clamp(min=1.)
        weights = _hat(places) if kernel == 'bilinear' else _cubic(places, -.5)
        return weights / weights.sum(1, keepdim=True)
    centres = centres.unsqueeze(1) - .5
    taps = centres.floor() + torch.arange(-1, 3, device=scale.device)  # (new, 4); the border is repeated
    at_entry = taps.clamp(0, old - 1).unsqueeze(2) == entries
    weights = _hat(taps - centres) if kernel == 'bilinear' else _cubic(taps - centres, -.75)
    return (weights.unsqueeze(2) * at_entry).sum(1)


def _hat(x: Tensor) -> Tensor:
    """The kernel of linear interpolation."""
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor, a: float) -> Tensor:
    """Keys' cubic convolution kernel; PyTorch has a = -0.5 with antialiasing and -0.75 without."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.))
