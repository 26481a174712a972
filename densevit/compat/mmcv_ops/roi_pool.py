"""RoI max pooling behind ``mmcv.ops``: Fast R-CNN (arXiv:1504.08083), section 2.1.

mmcv differs from torchvision: it keeps the fractional corners of a RoI (torchvision rounds them) and rounds each bin
outwards, so the torchvision operator cannot serve here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import widen


def _bin_edges(low: Tensor, high: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """First and one-past-last index of each bin along one side: two (R, bins) integer tensors in [0, length]."""
    step = ((high - low) / bins)[:, None]
    index = torch.arange(bins, device=low.device)
    first = (index * step + low[:, None]).floor()
    last = ((index + 1) * step + low[:, None]).ceil()
    return first.clamp(0, length).long(), last.clamp(0, length).long()


def _masked_max(x: Tensor, first: Tensor, last: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """Maximum of ``x`` (..., L) over each range [first, last) of indices counted from ``offset``: two (..., bins)."""
    position = torch.arange(x.shape[-1], device=x.device) + offset
    inside = (position >= first[:, None]) & (position < last[:, None])  # (bins, L)
    return x.unsqueeze(-2).masked_fill(~inside, float('-inf')).max(-1)


def _pool_one(feature: Tensor, rows: tuple[Tensor, Tensor], cols: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Pool one RoI of ``feature`` (C, H, W) to (C, h, w), with the flat index y * W + x of each maximum.

    The maximum over a rectangle is the maximum over its rows of the maxima over its columns.
    """
    (top, left), width = (int(rows[0].min()), int(cols[0].min())), feature.shape[2]
    crop = feature[:, top : int(rows[1].max()), left : int(cols[1].max())]
    by_row, x = _masked_max(crop, *cols, left)  # (C, crop height, w)
    best, y = _masked_max(by_row.transpose(1, 2), *rows, top)  # (C, w, h)
    x = x.transpose(1, 2).gather(2, y)
    return best.transpose(1, 2), ((y + top) * width + x + left).transpose(1, 2)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` and the integer ``argmax``, both (R, C, h, w), from ``input`` (B, C, H, W) and ``rois`` (R, 5).

    ``rois`` are (image index, x1, y1, x2, y2) with both corners inside. An empty bin gives 0 and index -1.
    """
    height, width = input.shape[2:]
    corners = widen(rois)[:, 1:]
    low, high = corners[:, :2] * spatial_scale, (corners[:, 2:] + 1) * spatial_scale
    row_first, row_last = _bin_edges(low[:, 1], high[:, 1], pooled_height, height)
    col_first, col_last = _bin_edges(low[:, 0], high[:, 0], pooled_width, width)
    filled = (row_first < row_last)[:, :, None] & (col_first < col_last)[:, None, :]  # (R, h, w)
    filled &= (high > low).all(1)[:, None, None]
    output.zero_(), argmax.fill_(-1)
    for r in filled.flatten(1).any(1).nonzero().flatten().tolist():
        feature = input[int(rois[r, 0])]
        best, where = _pool_one(feature, (row_first[r], row_last[r]), (col_first[r], col_last[r]))
        output[r] = best.masked_fill(~filled[r], 0)
        argmax[r] = where.masked_fill(~filled[r], -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add each of ``grad_output`` (R, C, h, w) to ``grad_input`` (B, C, H, W) at its maximum."""
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)  # (R, C)
    index = plane[:, :, None, None] * height * width + argmax.clamp(min=0)
    passed = widen(grad_output).new_zeros(grad_input.numel())
    passed.index_add_(0, index.flatten(), (widen(grad_output) * (argmax >= 0)).flatten())
    grad_input.add_(passed.view_as(grad_input))
