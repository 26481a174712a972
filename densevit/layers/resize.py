"""Bilinear resizing: of whole maps, and for some rows at a time, so that no map has to exist at its full size."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_bilinear(maps: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """Maps (B, C, h, w) at another size (h', w').

    Args:
        maps: What is resized; of that size already, they are returned as they are.
        size: h' and w'.
        align_corners: Whether the centres of the corner pixels lie on each other, as in networks that were trained so
            (DPT, k-means Mask Transformer), and not the borders of the maps.
    """
    # A compiler is told to resize in any case, so that its graph serves every size.
    if not torch.compiler.is_compiling() and maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode='bilinear', align_corners=align_corners)


class RowTaps(NamedTuple):
    """The source rows and weights that make rows ``start`` to ``stop`` of a resized map.

    Attributes:
        first, last: The rows of the source that are read, ``last`` exclusive.
        above, below: For each row of the result, its two source rows, counted from ``first``; int64.
        weight: The share of ``below``, float32; None where rows are those of the source or all rows are asked for.
    """
    first: int
    last: int
    above: Tensor
    below: Tensor
    weight: Tensor | None


def row_taps(height: int, target: int, start: int, stop: int) -> RowTaps:
    """Rows ``start`` to ``stop`` of a map that is resized from ``height`` to ``target`` rows."""
    rows = torch.arange(start, stop)
    if height == target:
        return RowTaps(start, stop, rows - start, rows - start, None)
    if (start, stop) == (0, target):
        return RowTaps(0, height, rows, rows, None)
    # In single precision throughout, as F.interpolate finds its places: exact ones would change weights in the 4th
    # digit where maps are thousands of rows high.
    scale = torch.tensor(height / target, dtype=torch.float32)
    places = ((rows.float() + .5) * scale - .5).clamp(min=0)
    above = places.long().clamp(max=height - 1)
    below = (above + 1).clamp(max=height - 1)
    first, last = int(above[0]), int(below[-1]) + 1
    return RowTaps(first, last, above - first, below - first, (places - above).clamp(0, 1))


def blend_rows(rows: Tensor, taps: RowTaps, width: int) -> Tensor:
    """Source rows (C, last - first, w) to rows of the resized map, (C, stop - start, width), float32."""
    rows = rows.float()  # these rows alone: the whole map may be kept in half precision
    if taps.weight is not None:
        weight = taps.weight.to(rows)[:, None]
        above, below = (rows.index_select(-2, taps_of.to(rows.device)) for taps_of in (taps.above, taps.below))
        rows = torch.addcmul(above * (1 - weight), below, weight)
    size = (len(taps.above), width)
    return rows if rows.shape[-2:] == size else F.interpolate(rows[None], size, mode='bilinear')[0]


def resize_rows(maps: Tensor, size: tuple[int, int], start: int, stop: int) -> Tensor:
    """``F.interpolate(maps, size, mode='bilinear')[..., start:stop, :]`` without the other rows.

    Args:
        maps: (C, h, w).
        size: Height and width of the whole result.

    Returns:
        (C, stop - start, width), float32; all rows are exactly what ``F.interpolate`` gives, some up to rounding.
    """
    taps = row_taps(maps.shape[-2], size[0], start, stop)
    return blend_rows(maps[:, taps.first:taps.last], taps, size[1])
