"""CAT (Chen et al., Cross Aggregation Transformer for Image Restoration, arXiv:2211.13654): rectangles as windows.

Half of the heads attend within lying rectangles and half within standing ones, so that the two meet in more of the
image than squares of their area (section 3.2). CAT-R has rectangles of one size, CAT-A such that are as long as the
image. A depthwise convolution of the values adds what is local (section 3.3). The rest is SwinIR's frame.

Parameters have names like those of SwinIR; :mod:`densevit.weights.names.restoration` knows the authors'
(github.com/zhengchen1999/CAT).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from .base import stochastic_depth
from .frame import Blocks, ResidualFrame, ResidualGroup, Upsampler, end_convs, heads_of_groups
from .windows import attend, from_windows, relative_position_index, to_windows, window_parts


class PositionBias(nn.Module):
    """A network from an offset in pixels to the bias of each head (CrossFormer, arXiv:2108.00154, section 3.3)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.pos_proj = nn.Linear(2, dim)
        self.pos1, self.pos2, self.pos3 = (
            nn.Sequential(nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, out)) for out in (dim, dim, num_heads))

    def table(self, sides: tuple[int, int]) -> Tensor:
        """Biases (2 height - 1, 2 width - 1, heads) of the offsets in a window of (height, width) pixels."""
        weight = self.pos_proj.weight
        steps = [torch.arange(1 - side, side, device=weight.device, dtype=weight.dtype) for side in sides]
        offsets = torch.stack(torch.meshgrid(*steps, indexing='ij'), -1)
        return self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))

    def forward(self, sides: tuple[int, int]) -> Tensor:
        """Biases (heads, N, N) in a window of (height, width) pixels."""
        table = self.table(sides).flatten(0, 1)
        return table[relative_position_index(sides).to(table.device)].permute(2, 0, 1)


class RectangleAttention(nn.Module):
    """Attention of half of the heads within rectangles."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pos = PositionBias(dim // 4 // 4, num_heads)

    def forward(self, qkv: Tensor, sides: tuple[int, int], shift: tuple[int, int]) -> Tensor:
        """(B, H, W, 3, C) of whole rectangles to (B, H, W, C)."""
        size = qkv.shape[1:3]
        moved = any(shift)
        if moved:
            qkv = qkv.roll([-step for step in shift], (1, 2))
        q, k, v = to_windows(qkv.flatten(3), sides).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        parts = window_parts(size, sides, qkv.device, shift) if moved else None
        x = from_windows(attend(q, k, v, self.pos(sides), parts), sides, size)
        return x.roll(shift, (1, 2)) if moved else x


class CrossAggregationBlock(nn.Module):
    """CATB (section 3.1): attention in lying and in standing rectangles, then an MLP.

    Args:
        dim: Channels C.
        num_heads: Heads of both kinds together.
        split: The sides (short, long) of rectangles; a long side of None is that of the image.
        shifted: Whether rectangles are moved by half their sides, not along the image.
        mlp_ratio: Width of the MLP as a multiple of C.
        drop_path: Rate of stochastic depth.
        qkv_bias: Whether queries, keys and values have biases.
    """

    def __init__(self, dim: int, num_heads: int, split: tuple[int, int | None], shifted: bool, mlp_ratio: float,
                 drop_path: float, qkv_bias: bool) -> None:
        super().__init__()
        self.split, self.shifted = split, shifted
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.attns = nn.ModuleList(RectangleAttention(dim // 2, num_heads // 2) for _ in range(2))
        self.get_v = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) with whole rectangles."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, -1))  # (B, H, W, 3, C)
        attended = torch.cat([
            attn(half, sides, shift) for attn, half, (sides, shift) in
            zip(self.attns, qkv.chunk(2, -1), self._rectangles(x.shape[1:3]), strict=True)], -1)
        local = self.get_v(qkv[..., 2, :].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.drop_path(self.proj(attended + local))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _rectangles(self, size: tuple[int, int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Sides and moves of the two kinds in an image of (H, W)."""
        short, long = self.split
        if long is None:  # the authors have standing ones first here, and lying ones first below
            sides = (size[0], short), (short, size[1])
            moves = (0, short // 2), (short // 2, 0)
        else:
            sides = (short, long), (long, short)
            moves = tuple((height // 2, width // 2) for height, width in sides)
        return [(each, move if self.shifted else (0, 0)) for each, move in zip(sides, moves, strict=True)]


class CAT(ResidualFrame):
    """CAT. The defaults are CAT-R; CAT-A has ``short_sides=(2, 2, 2, 4, 4, 4), long_side=None``, CAT-R-2 an
    ``mlp_ratio`` of 2, and that for JPEG ``scale=1, in_channels=1, img_range=255, upsampler=None``.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features.
        depths: Blocks of each group.
        num_heads: Heads of attention, even, one number or one for each group.
        short_sides: The short side of rectangles in pixels, one number or one for each group.
        long_side: Their long side; None for rectangles as long as the image.
        mlp_ratio: Width of MLPs as a multiple of C.
        qkv_bias: Whether queries, keys and values have biases.
        drop_path_rate: Rate of stochastic depth in the last block.
        upsampler: The reconstruction, see :class:`ResidualFrame`.
        group_convs: 1 or 3 convolutions at the ends of groups.
        num_features: Channels of the reconstruction.
        img_range: Images are multiplied by it.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        scale: int = 4,
        in_channels: int = 3,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, ) * 6,
        num_heads: int | Sequence[int] = 6,
        short_sides: int | Sequence[int] = 4,
        long_side: int | None = 16,
        mlp_ratio: float = 4.,
        qkv_bias: bool = True,
        drop_path_rate: float = .1,
        upsampler: Upsampler | None = 'pixelshuffle',
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
    ) -> None:
        shorts = (short_sides, ) * len(depths) if isinstance(short_sides, int) else tuple(short_sides)
        layers = nn.ModuleList()
        for heads, short, rates in zip(heads_of_groups(num_heads, len(depths), embed_dim), shorts,
                                       stochastic_depth(drop_path_rate, depths), strict=True):
            if heads % 2:
                raise ValueError(f'num_heads={heads}: half of them are for each kind of rectangles, give an even one')
            blocks = [CrossAggregationBlock(embed_dim, heads, (short, long_side), bool(index % 2), mlp_ratio, rate,
                                            qkv_bias) for index, rate in enumerate(rates)]
            layers.append(ResidualGroup(Blocks(blocks), end_convs(embed_dim, group_convs)))
        super().__init__(layers, embed_dim, math.lcm(*shorts, long_side or 1), scale, in_channels, upsampler,
                         group_convs, num_features, img_range)
