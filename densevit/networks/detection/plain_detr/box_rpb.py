"""Box-to-pixel relative position bias (BoxRPB): arXiv:2308.01904, section 4.1.

A query that stands for a box reads all pixels of a map, and where a pixel lies relative to its corners is added to
the logits of its attention. The bias of a pixel is that of its column plus that of its row, so that a network sees
(w + h) places a query and not w * h.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ....layers.boxes import to_corners
from ....layers.levels import Grid

RPBScale = Literal['linear', 'log']
_QUERIES_AT_ONCE = 300  # whose hidden activations, 512 for each column, are there at the same time in training
_ALIGNED = 8  # GPU kernels want widths of whole multiples


class AxisBias(nn.Module):
    """The bias of one axis: an MLP of the distances of a box's two sides to each column (or row).

    Args:
        num_heads: Heads of the attention, each with a bias of its own.
        hidden_dim: Hidden width of the MLP.
        scale: ``'linear'`` distances in pixels, or ``'log'``: their logarithms to base 8, with their sign, as in
            Swin v2 (arXiv:2111.09883).
    """

    def __init__(self, num_heads: int, hidden_dim: int, scale: RPBScale) -> None:
        super().__init__()
        self.scale = scale
        self.linear1, self.linear2 = nn.Linear(2, hidden_dim), nn.Linear(hidden_dim, num_heads, bias=False)

    def forward(self, sides: Tensor, places: Tensor) -> Tensor:
        """Sides (B, Q, 2) and places (n,) on the same axis, in pixels, to biases (B, Q, n, heads).

        In training the hidden activations are not kept but made again, of some queries at a time: they are 64 times as
        many as the biases.
        """
        if not (self.training and torch.is_grad_enabled()):
            return self._of(sides, places)
        parts = sides.split(_QUERIES_AT_ONCE, dim=1)
        return torch.cat([checkpoint(self._of, part, places, use_reentrant=False) for part in parts], dim=1)

    def _of(self, sides: Tensor, places: Tensor) -> Tensor:
        distances = sides.unsqueeze(2) - places.unsqueeze(1)
        if self.scale == 'log':
            distances = distances.sign() * (distances.abs() + 1.).log2() / 3.
        return self.linear2(self.linear1(distances).relu())


class BoxCrossAttention(nn.Module):
    """Queries read a whole map; where their boxes are says where they look first.

    Args:
        dim: Width D of queries and pixels.
        num_heads: Attention heads.
        rpb_hidden_dim: Hidden width of the two MLPs of the bias.
        rpb_scale: See :class:`AxisBias`.

    Raises:
        ValueError: The heads do not divide the width.
    """

    def __init__(self, dim: int, num_heads: int, rpb_hidden_dim: int = 512, rpb_scale: RPBScale = 'linear') -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide embed_dim={dim}; choose one that does')
        self.num_heads = num_heads
        self.x_bias, self.y_bias = (AxisBias(num_heads, rpb_hidden_dim, rpb_scale) for _ in range(2))
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query: Tensor, boxes: Tensor, key: Tensor, value: Tensor, grid: Grid, stride: int) -> Tensor:
        """Attend from queries to pixels.

        Args:
            query: (B, Q, D), with positions.
            boxes: Centre, width and height in pixels of the image, (B, Q, 4).
            key, value: (B, h * w, D), the keys with positions.
            grid: (h, w).
            stride: Pixels of the image along a side of a cell.
        """
        rows, columns = ((torch.arange(n, device=boxes.device, dtype=boxes.dtype) + .5) * stride for n in grid)
        corners = to_corners(boxes)
        q, k, v = (layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                   for layer, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value)))
        biases = (self.y_bias(corners[..., 1::2], rows), self.x_bias(corners[..., 0::2], columns))
        attended = attend_with_axis_biases(q, k, v, *(bias.permute(0, 3, 1, 2) for bias in biases))
        return self.out_proj(attended.transpose(1, 2).flatten(2))


def attend_with_axis_biases(q: Tensor, k: Tensor, v: Tensor, of_rows: Tensor, of_columns: Tensor) -> Tensor:
    """Attention to a map whose logits are ``q k / sqrt(d)``, the bias of the row and the bias of the column.

    A sum of two biases is a product of a query's (h + w) biases with keys that are 1 at their row and at their column,
    so that both are further channels of queries and keys: nothing of Q times h * w is made by a fused kernel, and its
    gradient needs nothing of that size either.

    Args:
        q: (B, heads, Q, d).
        k, v: (B, heads, h * w, d), row by row.
        of_rows: (B, heads, Q, h).
        of_columns: (B, heads, Q, w).

    Returns:
        (B, heads, Q, d).
    """
    dim, h, w = q.shape[-1], of_rows.shape[-1], of_columns.shape[-1]
    pad = -(dim + h + w) % _ALIGNED
    row, column = (torch.eye(n, dtype=k.dtype, device=k.device) for n in (h, w))
    places = torch.cat((row.repeat_interleave(w, dim=0), column.repeat(h, 1)), dim=1)
    q = F.pad(torch.cat((q * dim**-.5, of_rows.to(q.dtype), of_columns.to(q.dtype)), dim=-1), (0, pad))
    k = F.pad(torch.cat((k, places.expand(*k.shape[:2], -1, -1)), dim=-1), (0, pad))
    # Values of the same width, for the fused kernels of a CPU ask for that.
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, q.shape[-1] - dim)), scale=1.)[..., :dim]
