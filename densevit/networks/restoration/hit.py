"""HiT-SR (Zhang et al., Hierarchical Transformer for Efficient Image Super-Resolution, arXiv:2407.05973).

Windows grow from block to block of a group, from 4 to 64 pixels (section 3.2), and instead of attention there are two
correlations whose cost is linear in the area of a window (section 3.3): one of each pixel with an 8x8 summary of its
window, and one of channels with each other. Neither has a softmax. The rest is SwinIR's frame, with norms behind
correlation and MLP.

The paper turns three light networks into hierarchical ones:

=======  =================  ============  ==========  ============
form     made from          ``conv_ffn``  ``ngrams``  x4, millions
=======  =================  ============  ==========  ============
HiT-SIR  SwinIR-Light       False         False       .792
HiT-SNG  SwinIR-NG          False         True        1.032
HiT-SRF  SRFormer-Light     True          False       .866
=======  =================  ============  ==========  ============

Parameters have the names of the authors' checkpoints (github.com/XiangZ-0/HiT-SR), but for those of N-grams.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from ...layers import crop
from .atd import ConvFFN
from .base import mirror_to_multiple, stochastic_depth
from .cat import PositionBias
from .frame import Blocks, ResidualFrame, ResidualGroup, Upsampler, end_convs, heads_of_groups
from .windows import WindowAttention, from_windows, to_windows


class DualFeatures(nn.Module):
    """Convolutions times a linear layer (section 3.3, dual feature extraction): what becomes queries and values.

    Args:
        dim: Channels C; the convolutions have a fifth of them.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        narrow = dim // 5
        self.conv = nn.Sequential(
            nn.Conv2d(dim, narrow, 1), nn.LeakyReLU(.2), nn.Conv2d(narrow, narrow, 3, padding=1), nn.LeakyReLU(.2),
            nn.Conv2d(narrow, dim, 1))
        self.linear = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C)."""
        x = x.permute(0, 3, 1, 2)
        return (self.conv(x) * self.linear(x)).permute(0, 2, 3, 1)


class NGramContext(nn.Module):
    """What a window hears of its neighbours (N-Gram in Swin, arXiv:2211.11436, section 3.2), for N = 2.

    A window is summed up in C/2 values, these attend to each other in all squares of 2x2 windows, and a window is given
    the means of the square that it begins and of the one that it ends.

    Args:
        dim: Channels C.
        window_size: Side of a window in pixels.
        num_heads: Heads of the attention between windows.
    """

    def __init__(self, dim: int, window_size: int, num_heads: int) -> None:
        super().__init__()
        self.unigram_embed = nn.Conv2d(2, 1, window_size, window_size)  # of two channels that follow each other
        self.ngram_attn = WindowAttention(dim // 2, 2, num_heads)
        self.merge = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) with two whole windows or more along each side to (B, windows, 1, C)."""
        x = x.permute(0, 3, 1, 2)
        pairs = self.unigram_embed(x.unflatten(1, (-1, 2)).flatten(0, 1)).unflatten(0, (x.shape[0], -1)).squeeze(2)
        begun, ended = (self._squares(F.pad(pairs, pads, 'reflect')) for pads in ((0, 1, 0, 1), (1, 0, 1, 0)))
        return self.merge(torch.cat((begun, ended), 1)).flatten(2).transpose(1, 2).unsqueeze(2)

    def _squares(self, windows: Tensor) -> Tensor:
        """Means after attention in each square of 2x2, (B, C/2, rows, columns) to one row and column less."""
        height, width = windows.shape[-2:]
        corners = [windows[..., top:height - 1 + top, left:width - 1 + left] for top in (0, 1) for left in (0, 1)]
        squares = torch.stack(corners, -1).flatten(2, 3).permute(0, 2, 3, 1)  # (B, squares, 4, C/2)
        return self.ngram_attn(squares).mean(2).transpose(1, 2).unflatten(2, (height - 1, width - 1))


class SpatialChannelCorrelation(nn.Module):
    """SCC (equations 3 to 6): correlations in windows of a map, in space and between channels, side by side.

    Args:
        dim: Channels C, of which queries and values have half each.
        num_heads: Heads of the correlation in space.
        side: Of a window in pixels.
        summary: Side of the grid in which values of a window are summed up.
        ngrams: Whether windows hear of their neighbours.

    Raises:
        ValueError: The sizes do not divide each other.
    """

    def __init__(self, dim: int, num_heads: int, side: int, summary: int, ngrams: bool) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise ValueError(f'embed_dim={dim} with num_heads={num_heads}: give a multiple of twice the heads')
        if side < 1 or side % summary:
            raise ValueError(f'a window of {side} pixels cannot be summed up in {summary}x{summary} cells: give '
                             'window_ratios that are whole numbers, or below 1')
        self.num_heads, self.side, self.summary = num_heads, side, summary
        self.qv = DualFeatures(dim)
        self.ngram_context = NGramContext(dim, side, num_heads) if ngrams else None
        self.spatial_linear = nn.Linear((side // summary)**2, 1)
        self.pos = PositionBias(dim // 4 // 4, num_heads)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows, two or more along each side where there are N-grams."""
        size, sides = x.shape[1:3], (self.side, self.side)
        features = self.qv(x)
        windows = to_windows(features, sides)  # (B, windows, N, C)
        if self.ngram_context is not None:
            windows = windows + self.ngram_context(features)
        q, v = windows.chunk(2, -1)
        return self.proj(from_windows(torch.cat((self.in_space(q, v), self.between_channels(q, v)), -1), sides, size))

    def in_space(self, q: Tensor, v: Tensor) -> Tensor:
        """Each pixel with the summary of its window (equations 3 and 4), (B, windows, N, C/2) both."""
        cell = self.side // self.summary
        # The pixels of each cell, which one linear layer makes one of.
        cells = v.unflatten(2, (self.summary, cell, self.summary, cell)).permute(0, 1, 2, 4, 6, 3, 5).flatten(-2)
        v = self.spatial_linear(cells).squeeze(-1).flatten(2, 3)  # (B, windows, cells, C/2)
        q, v = (each.unflatten(-1, (self.num_heads, -1)).transpose(2, 3) for each in (q, v))
        correlation = q @ v.transpose(-1, -2) / q.shape[-1] + self.bias()
        return (correlation @ v).transpose(2, 3).flatten(3)

    def bias(self) -> Tensor:
        """(heads, N, cells): means over cells of the biases of their pixels' offsets.

        Means over squares of the table of offsets are the same, and far smaller than biases of all pairs of pixels.
        """
        cell = self.side // self.summary
        table = F.avg_pool2d(self.pos.table((self.side, self.side)).permute(2, 0, 1), cell, 1)
        place = torch.arange(self.side, device=table.device)
        index = place[:, None] - cell * place[:self.summary] + self.side - cell  # (side, summary)
        biases = table[:, index[:, None, :, None], index[None, :, None, :]]  # (heads, side, side, summary, summary)
        return biases.flatten(3).flatten(1, 2)

    @staticmethod
    def between_channels(q: Tensor, v: Tensor) -> Tensor:
        """Channels with channels over the window (equations 5 and 6), (B, windows, N, C/2) both."""
        return v @ (v.transpose(-1, -2) @ q / q.shape[2])


class HierarchicalBlock(nn.Module):
    """Correlation in windows of one size and an MLP, each with a norm behind it (section 3.2).

    Args:
        dim: Channels C.
        num_heads: Heads of the correlation in space.
        side, summary: Of windows and of their summaries, in pixels and in cells.
        mlp_ratio: Width of the MLP as a multiple of C.
        drop_path: Rate of stochastic depth.
        conv_ffn: Whether the MLP has a depthwise convolution of 5x5 in its middle.
        ngrams: Whether windows hear of their neighbours.
    """

    def __init__(self, dim: int, num_heads: int, side: int, summary: int, mlp_ratio: float, drop_path: float,
                 conv_ffn: bool, ngrams: bool) -> None:
        super().__init__()
        self.multiple = 2 * side if ngrams else side
        self.correlation = SpatialChannelCorrelation(dim, num_heads, side, summary, ngrams)
        self.norm1 = nn.LayerNorm(dim)
        self.mlp = ConvFFN(dim, int(dim * mlp_ratio), 5) if conv_ffn else Mlp(dim, int(dim * mlp_ratio))
        self.norm2 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) of any size: mirrored to whole windows for the correlation alone."""
        padded = mirror_to_multiple(x.permute(0, 3, 1, 2), self.multiple).permute(0, 2, 3, 1)
        correlated = crop(self.correlation(padded).permute(0, 3, 1, 2), x.shape[1:3]).permute(0, 2, 3, 1)
        x = x + self.drop_path(self.norm1(correlated))
        return x + self.drop_path(self.norm2(self.mlp(x)))


class HiTSR(ResidualFrame):
    """HiT-SR. The defaults are HiT-SRF for x4; the table at the top of the file has the other forms.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features, a multiple of twice the heads.
        depths: Blocks of each group.
        num_heads: Heads of the correlation in space, one number or one for each group.
        window_size: Side of a base window in pixels, and of the summary of larger ones.
        window_ratios: Sides of the windows of a group's blocks in base windows: whole numbers, or below 1.
        mlp_ratio: Width of MLPs as a multiple of C.
        conv_ffn: Whether MLPs have a depthwise convolution of 5x5 in their middle.
        ngrams: Whether windows hear of their neighbours.
        drop_path_rate: Rate of stochastic depth in the last block.
        upsampler: The reconstruction, see :class:`ResidualFrame`; None for a scale of 1.
        group_convs: 1 or 3 convolutions at the ends of groups.
        num_features: Channels of a reconstruction with several convolutions.
        img_range: Images are multiplied by it.
        skip: See :class:`ResidualFrame`.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        scale: int = 4,
        in_channels: int = 3,
        embed_dim: int = 60,
        depths: Sequence[int] = (6, ) * 4,
        num_heads: int | Sequence[int] = 6,
        window_size: int = 8,
        window_ratios: Sequence[float] = (.5, 1, 2, 4, 6, 8),
        mlp_ratio: float = 2.,
        conv_ffn: bool = True,
        ngrams: bool = False,
        drop_path_rate: float = 0.,
        upsampler: Upsampler | None = 'pixelshuffledirect',
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
        skip: Literal['bicubic'] | None = None,
    ) -> None:
        if max(depths) > len(window_ratios):
            raise ValueError(f'a group of {max(depths)} blocks has {len(window_ratios)} window_ratios: give one for '
                             'each block')
        layers = nn.ModuleList()
        for heads, rates in zip(heads_of_groups(num_heads, len(depths), embed_dim),
                                stochastic_depth(drop_path_rate, depths), strict=True):
            sides = [int(window_size * ratio) for ratio in window_ratios[:len(rates)]]
            blocks = [HierarchicalBlock(embed_dim, heads, side, min(side, window_size), mlp_ratio, rate, conv_ffn,
                                        ngrams) for side, rate in zip(sides, rates, strict=True)]
            layers.append(ResidualGroup(Blocks(blocks), end_convs(embed_dim, group_convs)))
        # Each block mirrors what it needs: large windows would enlarge the image for all.
        super().__init__(layers, embed_dim, 1, scale, in_channels, upsampler, group_convs, num_features, img_range,
                         skip)
        self.window_size = window_size
