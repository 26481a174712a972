"""Multi-scale deformable attention on a CPU, as sums of embedding bags.

Eq. 3 of Deformable DETR (arXiv:2010.04159) is, for each query and head, a weighted sum of rows of a table: of the 4
pixels around each of L * P points. `embedding_bag` computes such sums without a tensor of samples in between. All maps
lie in one picture, an atlas, so that the 4 pixels have one index into a table that starts 0, 1, a row, or a row and 1
pixels later. Zeros around each map stand for what lies outside of it.

Each direction is an operator: torch.compile takes it as it is, for what it makes of gathers is slower on a CPU.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class _Atlas:
    """Maps one below the other, with a column of zeros at the left and a row of zeros above and below each.

    Narrow maps have zeros at the right, and the widest has the left column of the next row there.
    """

    def __init__(self, sizes: Sequence[int], batch: int, heads: int, dtype: torch.dtype) -> None:
        self.shapes = list(zip(sizes[::2], sizes[1::2], strict=True))
        self.batch, self.heads, self.dtype = batch, heads, dtype
        self.width = max(width for _, width in self.shapes) + 1
        self.tops, row = [], 1
        for height, _ in self.shapes:
            self.tops.append(row)
            row += height + 1
        # A point at the far edge of the last map has neighbours, of weight 0, one row and one pixel further.
        self.height = row + 2
        self.corners = [heads * shift for shift in (0, 1, self.width, self.width + 1)]  # y before x
        self.rows = batch * self.height * self.width * heads - self.corners[-1]

    def table(self, value: Tensor) -> Tensor:
        """(B, S, M, D) -> (B * height * width * M, D)."""
        table = value.new_zeros(self.batch, self.height, self.width, *value.shape[2:], dtype=self.dtype)
        parts = value.split([height * width for height, width in self.shapes], 1)
        for part, (height, width), top in zip(parts, self.shapes, self.tops, strict=True):
            table[:, top:top + height, 1:1 + width] = part.unflatten(1, (height, width))
        return table.flatten(0, 3)

    def values(self, table: Tensor) -> Tensor:
        """The inverse of `table`."""
        table = table.view(self.batch, self.height, self.width, self.heads, -1)
        return torch.cat([
            table[:, top:top + height, 1:1 + width].flatten(1, 2)
            for (height, width), top in zip(self.shapes, self.tops, strict=True)
        ], 1)


class _Points(NamedTuple):
    """All points of all queries and heads, (B * Q, M * L * P) each, but for the sizes, (M * L * P,)."""

    x: Tensor  # in pixels of their map; -.5 is its left edge
    y: Tensor
    width: Tensor
    height: Tensor
    index: Tensor  # of the pixel above and to the left, in the table
    right: Tensor  # how far each lies from that pixel, in [0, 1)
    down: Tensor

    def corner_weights(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shares of the 4 pixels in each point's weight, in the order of `_Atlas.corners`."""
        low = weights * self.down
        high = weights - low
        high_right, low_right = high * self.right, low * self.right
        return high.sub_(high_right), high_right, low.sub_(low_right), low_right


def _place(atlas: _Atlas, locations: Tensor) -> _Points:
    """Where points (B, Q, M, L, P, 2) lie in the atlas. Far ones move to where all 4 pixels count as 0."""
    batch, num_queries, heads, levels, points, _ = locations.shape
    columns = heads, levels, points
    locations = locations.to(atlas.dtype).reshape(batch * num_queries, heads * levels * points, 2)
    height, width = (
        locations.new_tensor(side).view(1, levels, 1).expand(columns).flatten()
        for side in zip(*atlas.shapes, strict=True))
    x, y = (locations[..., 0] * width).sub_(.5), (locations[..., 1] * height).sub_(.5)
    near_x, near_y = torch.minimum(x.clamp(min=-1), width), torch.minimum(y.clamp(min=-1), height)
    left, top = near_x.floor(), near_y.floor()

    integer = torch.int32 if atlas.rows < 2**31 else torch.int64
    index = top.to(integer).mul_(atlas.width).add_(left.to(integer)).mul_(heads)
    origins = torch.tensor(atlas.tops, dtype=integer).mul_(atlas.width).add_(1).mul_(heads).view(1, levels, 1)
    index += (torch.arange(heads, dtype=integer).view(-1, 1, 1) + origins).expand(columns).flatten()
    images = torch.arange(batch, dtype=integer).mul_(atlas.height * atlas.width * heads)
    index += images.view(-1, 1).expand(-1, num_queries).reshape(-1, 1)
    index.clamp_(0, atlas.rows - 1)  # a location that is not a number has an arbitrary index
    return _Points(x, y, width, height, index, near_x.sub_(left), near_y.sub_(top))


def _attend(value: Tensor, sizes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    batch, num_queries, heads = weights.shape[:3]
    # A half-precision coordinate above 1024 has steps of a pixel.
    atlas = _Atlas(sizes, batch, heads, torch.promote_types(value.dtype, torch.float32))
    table, points = atlas.table(value), _place(atlas, locations)
    bag = weights.shape[3] * weights.shape[4]
    index = points.index.view(-1, bag)
    out = None
    for shift, shares in zip(atlas.corners, points.corner_weights(_flat(weights, atlas)), strict=True):
        rows = table[shift:shift + atlas.rows]
        sums = F.embedding_bag(index, rows, per_sample_weights=shares.view(-1, bag), mode='sum')
        out = sums if out is None else out.add_(sums)
    return out.view(batch, num_queries, heads * value.shape[3]).to(value.dtype)


def _gradients(
    grad: Tensor, value: Tensor, sizes: Sequence[int], locations: Tensor, weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights; what the forward computed is computed again, for it is cheap."""
    atlas = _Atlas(sizes, weights.shape[0], weights.shape[2], torch.promote_types(value.dtype, torch.float32))
    points, flat = _place(atlas, locations), _flat(weights, atlas)
    grad = grad.to(atlas.dtype).reshape(-1, value.shape[3])  # (bags, D)
    bag = weights.shape[3] * weights.shape[4]
    grad_locations, grad_weights = _point_gradients(grad, atlas, points, atlas.table(value), flat, bag)
    grad_value = atlas.values(_table_gradient(grad, atlas, points, flat, bag))
    return (grad_value.to(value.dtype), grad_locations.view(locations.shape).to(locations.dtype),
            grad_weights.view(weights.shape).to(weights.dtype))


def _point_gradients(
    grad: Tensor, atlas: _Atlas, points: _Points, table: Tensor, weights: Tensor, bag: int,
) -> tuple[Tensor, Tensor]:
    """Gradients of locations and weights, from products of the gradient with the 4 pixels of each point."""
    index = points.index.flatten()
    offsets = torch.arange(0, index.numel(), bag, dtype=index.dtype)
    high_left, high_right, low_left, low_right = (
        torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad, table[shift:shift + atlas.rows], index, offsets, offsets[:0], 0).view(weights.shape)
        for shift in atlas.corners)
    high, high_slope = _interpolate(high_left, high_right, points.right)
    low, low_slope = _interpolate(low_left, low_right, points.right)
    grad_weights, grad_y = _interpolate(high, low, points.down)
    grad_x, _ = _interpolate(high_slope, low_slope, points.down)
    grad_x.mul_(weights).mul_(points.width).masked_fill_((points.x <= -1) | (points.x >= points.width), 0)
    grad_y.mul_(weights).mul_(points.height).masked_fill_((points.y <= -1) | (points.y >= points.height), 0)
    return torch.stack((grad_x, grad_y), -1), grad_weights


def _interpolate(start: Tensor, end: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope at a share of the way."""
    slope = end - start
    return torch.addcmul(start, slope, share), slope


def _table_gradient(grad: Tensor, atlas: _Atlas, points: _Points, weights: Tensor, bag: int) -> Tensor:
    """Gradient of the table: the same sums with the roles of bags and rows exchanged, for which points are sorted."""
    index, order = points.index.flatten().sort()
    bags = order.to(index.dtype).div_(bag, rounding_mode='floor')
    starts = torch.searchsorted(index, torch.arange(atlas.rows, dtype=index.dtype)).to(index.dtype)
    table = grad.new_zeros(atlas.rows + atlas.corners[-1], grad.shape[1])
    for shift, shares in zip(atlas.corners, points.corner_weights(weights), strict=True):
        shares = shares.flatten().index_select(0, order)
        table[shift:shift + atlas.rows] += F.embedding_bag(
            bags, grad, offsets=starts, per_sample_weights=shares, mode='sum')
    return table


def _flat(weights: Tensor, atlas: _Atlas) -> Tensor:
    return weights.flatten(0, 1).flatten(1).to(atlas.dtype)


deformable_bags = torch.library.custom_op(
    'densevit::deformable_bags', _attend, mutates_args=(), device_types='cpu',
    schema='(Tensor value, SymInt[] sizes, Tensor locations, Tensor weights) -> Tensor')
_deformable_bags_backward = torch.library.custom_op(
    'densevit::deformable_bags_backward', _gradients, mutates_args=(), device_types='cpu',
    schema='(Tensor grad, Tensor value, SymInt[] sizes, Tensor locations, Tensor weights) -> (Tensor, Tensor, Tensor)')


@deformable_bags.register_fake
def _(value: Tensor, sizes: Sequence[int], locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(*weights.shape[:2], value.shape[2] * value.shape[3])


@_deformable_bags_backward.register_fake
def _(grad: Tensor, value: Tensor, sizes: Sequence[int], locations: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    return value.new_empty(value.shape), locations.new_empty(locations.shape), weights.new_empty(weights.shape)


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    value, ctx.sizes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _differentiate(ctx, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
    value, locations, weights = ctx.saved_tensors
    grad_value, *rest = _deformable_bags_backward(grad, value, ctx.sizes, locations, weights)
    return grad_value, None, *rest


deformable_bags.register_autograd(_differentiate, setup_context=_save)
