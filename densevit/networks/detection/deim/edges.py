"""Edges of boxes as distributions: D-FINE (arXiv:2410.13842), section 4.1.

The distance of each edge from a reference box is the mean of W(n) over a softmax of N + 1 bins. W is finer around zero,
so that small corrections are exact and large ones are possible.
"""
from __future__ import annotations

import torch
from torch import Tensor

from ....layers.boxes import to_centres


def bin_values(num_bins: int, bound: Tensor, scale: Tensor) -> Tensor:
    """The distances W(n) that the bins stand for, eq. 2.

    Args:
        num_bins: N, even.
        bound: Where the regular bins end, in sides of the box: a, (1,). The outermost ones stand for twice as much.
        scale: The curvature c, (1,); distances are in sides of the box over c.

    Returns:
        (N + 1,), from negative to positive, 0 in the middle.
    """
    last = (bound * scale).abs()
    steps = torch.arange(1, num_bins // 2, device=bound.device, dtype=bound.dtype) * (2. / (num_bins - 2))
    right = torch.cat(((last + 1.)**steps - 1., 2. * last))
    return torch.cat((-right.flip(0), torch.zeros_like(last), right))


def boxes_of_distances(references: Tensor, distances: Tensor, scale: Tensor) -> Tensor:
    """Boxes whose edges were moved outwards, eq. 1.

    Args:
        references: Centre, width and height, (..., 4).
        distances: Of the left, upper, right and lower edge, (..., 4), in sides of the reference over ``scale``.
        scale: The curvature c, (1,).
    """
    centres, sizes = references.split(2, dim=-1)
    before, after = (distances / scale.abs() + .5).split(2, dim=-1)
    return to_centres(torch.cat((centres - before * sizes, centres + after * sizes), dim=-1))


def distances_of_boxes(references: Tensor, corners: Tensor, scale: Tensor) -> Tensor:
    """The distances (..., 4) that make boxes, given as corners, of the references."""
    centres, sizes = references.split(2, dim=-1)
    first, last = corners.split(2, dim=-1)
    sizes = sizes + 1e-16
    shares = torch.cat(((centres - first) / sizes, (last - centres) / sizes), dim=-1)
    return (shares - .5) * scale.abs()


def bins_of_distances(distances: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The bin below each distance and the share of the bin above it; what lies outside belongs to the outermost bin.

    Args:
        distances: (..., ).
        values: W(n), (N + 1,).
    """
    below = ((values <= distances.unsqueeze(-1)).sum(-1) - 1).clamp(0, len(values) - 2)
    low, high = values[below], values[below + 1]
    return below, ((distances - low) / (high - low)).clamp(0., 1.)
