"""Relative positions in attention, at any grid."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .pos_embed import Kernel, interpolate_positions, is_native


def decomposed_rel_pos_bias(
    q: Tensor,
    table_h: Tensor,
    table_w: Tensor,
    grid: tuple[int, int],
    rows: slice = slice(None),
) -> Tensor:
    """Attention bias of relative positions, one axis at a time (MViTv2, arXiv:2112.01526, eq. 4), as in ViTDet.

    Args:
        q: (B, heads, h * w, D) queries, not scaled; those of ``rows`` alone, if it says some.
        table_h, table_w: (2 * size - 1, D) for a native ``size``; resized linearly to another grid.
        grid: (h, w), of queries and keys.
        rows: The rows of the grid whose queries are given.

    Returns:
        (B, heads, h * w, h * w), one row for each query, to be added to the scaled products of queries and keys.
    """
    h, w = grid
    q = q.unflatten(2, grid if rows == slice(None) else (-1, w))
    # Contiguous, since a sum of two layouts would make torch.export ask how their strides compare.
    along_h = torch.einsum('bnhwc,hkc->bnhwk', q, _between(table_h, h)[rows].to(q.dtype)).contiguous()
    along_w = torch.einsum('bnhwc,wkc->bnhwk', q, _between(table_w, w).to(q.dtype)).contiguous()
    bias = along_h.unsqueeze(5) + along_w.unsqueeze(4)  # (B, heads, h, w, h, w)
    return bias.flatten(4, 5).flatten(2, 3)


def relative_position_bias(
    table: Tensor,
    native_grid: tuple[int, int],
    grid: tuple[int, int],
    class_token: bool = True,
    num_queries: int = 0,
    antialias: bool = True,
    kernel: Kernel = 'bicubic',
) -> Tensor:
    """BEiT's bias for each pair of tokens (arXiv:2106.08254; T5, arXiv:1910.10683, section 2.1) at any grid.

    Another grid than the native one resizes the table of distances.

    Args:
        table: ((2 * gh - 1) * (2 * gw - 1) + 3, heads): all distances of the native grid, then class to patch, patch
            to class, class to class.
        native_grid: (gh, gw).
        grid: (h, w).
        class_token: Whether a class token stands before the patches.
        num_queries: Tokens ahead of it that have no position: their bias is 0.
        antialias, kernel: See :func:`densevit.layers.resize_pos_embed`; MiDaS and transformers resize the table with
            ``antialias=False, kernel='bilinear'``.

    Returns:
        (1, heads, N, N) with N = num_queries + class_token + h * w.
    """
    (gh, gw), (h, w) = native_grid, grid
    distances = table[:-3].t().unflatten(1, (2 * gh - 1, 2 * gw - 1))  # (heads, 2 gh - 1, 2 gw - 1)
    if not is_native((h, w), (gh, gw)):
        distances = interpolate_positions(distances[None], (2 * h - 1, 2 * w - 1), antialias, kernel=kernel)[0]
    rows, columns = _distances(h, table.device), _distances(w, table.device)
    bias = distances[:, rows[:, None, :, None], columns[None, :, None, :]].flatten(3, 4).flatten(1, 2)
    if class_token:
        from_class, to_class, itself = table[-3:].unbind(0)  # (heads)
        left = to_class[:, None, None].expand(-1, bias.shape[1], 1)
        top = torch.cat((itself[:, None, None], from_class[:, None, None].expand(-1, 1, bias.shape[2])), dim=2)
        bias = torch.cat((top, torch.cat((left, bias), dim=2)), dim=1)
    if num_queries:
        bias = F.pad(bias, (num_queries, 0, num_queries, 0))
    return bias.unsqueeze(0)


def _between(table: Tensor, size: int) -> Tensor:
    """(size, size, D): entries for each pair of places along an axis."""
    resized = F.interpolate(table.t().unsqueeze(0), size=2 * size - 1, mode='linear')[0].t()
    return resized[_distances(size, table.device)]


def _distances(size: int, device: torch.device) -> Tensor:
    """(size, size): how far each key is from each query, counted from 0."""
    places = torch.arange(size, device=device)
    return places.unsqueeze(1) - places + size - 1
