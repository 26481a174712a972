"""Boxes: their two forms, how much they overlap, how one is refined by differences, and their sine embedding."""
from __future__ import annotations

import math

import torch
from torch import Tensor


def to_corners(boxes: Tensor) -> Tensor:
    """Centre, width and height (..., 4) to corners ``x0, y0, x1, y1``."""
    centres, sizes = boxes.split(2, dim=-1)
    return torch.cat((centres - .5 * sizes, centres + .5 * sizes), dim=-1)


def to_centres(boxes: Tensor) -> Tensor:
    """Corners ``x0, y0, x1, y1`` (..., 4) to centre, width and height."""
    first, last = boxes.split(2, dim=-1)
    return torch.cat((.5 * (first + last), last - first), dim=-1)


def box_overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (arXiv:1902.09630, algorithm 1) in single precision at least.

    Args:
        boxes: Corners ``x0, y0, x1, y1``, (..., 4).
        others: Corners of as many boxes, or of any number that broadcasts: ``boxes[:, None]`` and ``others[None]``
            give every pair.

    Returns:
        IoU in [0, 1] and GIoU in [-1, 1], each (...). Boxes without area have an IoU of 0.
    """
    dtype = torch.promote_types(boxes.dtype, torch.float32)
    (first, last), (other_first, other_last) = boxes.to(dtype).split(2, -1), others.to(dtype).split(2, -1)
    inside = (torch.minimum(last, other_last) - torch.maximum(first, other_first)).clamp(min=0.).prod(-1)
    union = (last - first).prod(-1) + (other_last - other_first).prod(-1) - inside
    hull = (torch.maximum(last, other_last) - torch.minimum(first, other_first)).prod(-1)
    least = torch.finfo(dtype).tiny
    iou = inside / union.clamp(min=least)
    return iou, iou - (hull - union) / hull.clamp(min=least)


def refine_boxes(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Boxes moved by shares of their own size: LW-DETR's box re-parameterisation (arXiv:2406.03459, section 3.2).

    Args:
        boxes: Centre, width and height, (..., 4).
        deltas: The shift of the centre in widths and heights, and the logarithms of the factors of width and height.

    Returns:
        (..., 4), in single precision at least: half a number's digits would move a box by pixels.
    """
    dtype = torch.promote_types(boxes.dtype, torch.float32)
    (centres, sizes), (shift, scale) = boxes.to(dtype).split(2, dim=-1), deltas.to(dtype).split(2, dim=-1)
    return torch.cat((centres + shift * sizes, sizes * scale.exp()), dim=-1)


def box_sines(boxes: Tensor, dim: int, temperature: float = 10000.) -> Tensor:
    """Sines and cosines of centre, width and height (DAB-DETR, arXiv:2201.12329, section 3.2).

    Args:
        boxes: Centre, width and height in [0, 1], (..., 4).
        dim: D, the width for each of the four numbers, sine and cosine by turns.
        temperature: The longest wave is that many times the shortest.

    Returns:
        (..., 4 * D), of y, x, width and height.
    """
    waves = temperature ** (2 * torch.arange(dim // 2, device=boxes.device, dtype=torch.float32) / dim)
    x, y, w, h = (boxes.unsqueeze(-1) * (2 * math.pi) / waves).unbind(-2)
    angles = torch.stack((y, x, w, h), dim=-2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-3).to(boxes.dtype)
