"""Learned positions of a trunk at the grid of an image, and how they are stored."""
from __future__ import annotations

import math

import torch
from timm.layers import RotaryEmbeddingDinoV3, build_sincos2d_pos_embed
from torch import Tensor, nn

from ...layers import absolute_window_pos_embed, is_symbolic, resize_pos_embed
from ..options import Grid
from .policies import PositionPolicy


def positions_at(trunk: nn.Module, grid: Grid, policy: PositionPolicy) -> Tensor | None:
    """Learned positions (1, prefix + h * w, D) at a grid, or None for a trunk without them."""
    pos_embed = trunk.pos_embed
    if pos_embed is None:
        return None
    stored_grid, num_prefix = stored_positions(trunk)
    pos_embed = pos_embed.flatten(1, -2)
    if policy.mode == 'interpolate':
        return resize_pos_embed(pos_embed, grid, stored_grid, num_prefix, **policy.resize_options)
    prefix, window = pos_embed[:, :num_prefix], pos_embed[:, num_prefix:]
    window = window.transpose(1, 2).unflatten(2, stored_grid)
    patches = absolute_window_pos_embed(window, getattr(trunk, 'global_pos_embed', None), grid, policy.antialias)
    return torch.cat((prefix, patches.flatten(2).transpose(1, 2)), dim=1)


def rotary_at(trunk: nn.Module, grid: Grid) -> Tensor | None:
    """timm's rotary embedding (..., h * w, 2 * head_dim), or None for a trunk without."""
    rope = getattr(trunk, 'rope', None)
    if isinstance(rope, RotaryEmbeddingDinoV3) and is_symbolic(*grid):
        return _centred_rotary(rope, grid)
    return None if rope is None else rope.get_embed(shape=list(grid))


def _centred_rotary(rope: RotaryEmbeddingDinoV3, grid: Grid) -> Tensor:
    """The embedding of timm's ``get_embed``, which itself would fix the grid of an exported program.

    Coordinates of patch centres in [-1, 1] over the image, as in DINOv3 (arXiv:2508.10104).
    """
    device = rope.periods.device
    spans = dict(separate=grid, max=(torch.sym_max(*grid), ) * 2, min=(torch.sym_min(*grid), ) * 2)
    y, x = (
        2 * ((torch.arange(side, device=device) + .5 + rope.grid_offset) / torch.full((), span, device=device)) - 1
        for side, span in zip(grid, spans[rope.normalize_coords], strict=True))
    coords = torch.stack(torch.meshgrid(y, x, indexing='ij'), dim=-1).flatten(0, 1)  # (h * w, 2)
    angles = (2 * math.pi * coords.unsqueeze(2) / rope.periods).flatten(1)
    angles = torch.cat((angles, angles), 1) if rope.rotate_half else angles.repeat_interleave(2, 1)
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def stored_positions(trunk: nn.Module) -> tuple[Grid, int]:
    """The grid of the stored positions, and how many stand before it that belong to no patch.

    As in timm, ``patch_embed.grid_size`` is the grid of the positions, whatever the size of the images.
    """
    if getattr(trunk, 'no_embed_class', False):
        return tuple(trunk.patch_embed.grid_size), 0
    return tuple(trunk.patch_embed.grid_size), getattr(trunk, 'num_prefix_tokens', 0)


def store_positions(trunk: nn.Module, grid: Grid, policy: PositionPolicy) -> None:
    """Resize the stored positions, once.

    Raises:
        ValueError: The trunk has none.
    """
    if trunk.pos_embed is None:
        raise ValueError('pos_embed_grid: the trunk has no learned positions; leave it out')
    stored_grid, num_prefix = stored_positions(trunk)
    with torch.no_grad():
        resized = resize_pos_embed(trunk.pos_embed.flatten(1, -2), grid, stored_grid, num_prefix,
                                   **policy.resize_options)
    if trunk.pos_embed.dim() == 4:
        resized = resized.unflatten(1, grid)
    trunk.pos_embed = nn.Parameter(resized.clone(), requires_grad=trunk.pos_embed.requires_grad)
    trunk.patch_embed.grid_size = grid


def begin_with_sines(trunk: nn.Module) -> None:
    """Sines and cosines of rows and columns in the place of random numbers; prefix tokens keep theirs.

    Raises:
        ValueError: The trunk has no learned positions, or is not a multiple of 4 wide.
    """
    if trunk.pos_embed is None:
        raise ValueError('sine_init: the trunk has no learned positions; leave it out')
    grid, num_prefix = stored_positions(trunk)
    width = trunk.pos_embed.shape[-1]
    if width % 4:
        raise ValueError(f'sine_init: sines and cosines of rows and columns need a width divisible by 4, not {width}')
    with torch.no_grad():
        trunk.pos_embed.view(1, -1, width)[:, num_prefix:] = build_sincos2d_pos_embed(grid, width)


def prepare_window_positions(trunk: nn.Module, policy: PositionPolicy, window_size: int | None,
                             global_grid: Grid | None) -> None:
    """Check that positions can be repeated with the windows, and add the global part of absolute win.

    Raises:
        ValueError: They cannot.
    """
    if policy.mode != 'absolute_window' and global_grid is not None:
        raise ValueError(f"global_pos_grid belongs to pos_embed='absolute_window', not to '{policy.mode}'")
    if policy.mode == 'interpolate':
        return
    if policy.mode not in ('tile', 'absolute_window'):
        raise ValueError(f"pos_embed is 'interpolate', 'tile' or 'absolute_window', not '{policy.mode}'")
    if trunk.pos_embed is None:
        raise ValueError(f"pos_embed='{policy.mode}': the trunk has no learned positions; leave it out")
    if not window_size:
        raise ValueError(f"pos_embed='{policy.mode}' repeats the positions of a window; set window_size")
    stored_grid, _ = stored_positions(trunk)
    if stored_grid != (window_size, window_size):
        raise ValueError(
            f"pos_embed='{policy.mode}' needs the positions of one window, {window_size}x{window_size}, and the trunk "
            f'stores {stored_grid[0]}x{stored_grid[1]}; set pos_embed_grid={window_size} (a checkpoint is then resized '
            f'once when it is loaded) or convert it with tools/convert_pos_embed.py --window {window_size}')
    if policy.mode == 'absolute_window':
        gh, gw = global_grid or (7, 7)
        trunk.global_pos_embed = nn.Parameter(torch.zeros(1, trunk.embed_dim, gh, gw))


def drop_prefix(trunk: nn.Module) -> None:
    """Remove class and register tokens and their positions."""
    _, num_prefix = stored_positions(trunk)
    if num_prefix and trunk.pos_embed is not None:
        trunk.pos_embed = nn.Parameter(trunk.pos_embed.detach()[:, num_prefix:].clone(),
                                       requires_grad=trunk.pos_embed.requires_grad)
    for name in ('cls_token', 'reg_token'):
        if getattr(trunk, name, None) is not None:
            setattr(trunk, name, None)
    for module in trunk.modules():  # the trunk, and attention that rotates all tokens but the prefix
        if getattr(module, 'num_prefix_tokens', 0):
            module.num_prefix_tokens = 0
