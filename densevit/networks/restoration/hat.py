"""HAT (Chen et al., Activating More Pixels in Image Super-Resolution Transformer, arXiv:2205.04437).

SwinIR's frame with three additions: channel attention beside window attention (section 3.2.2), and at the end of each
group attention of windows to larger ones around them (section 3.2.3), both for more pixels to play a part. HAT-S, HAT
and HAT-L differ in channels and depths.

Parameters have the names of the authors' checkpoints (github.com/XPixelGroup/HAT).
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from .base import stochastic_depth
from .frame import ResidualFrame, ResidualGroup, Upsampler, conv3, end_convs, heads_of_groups
from .windows import WindowAttention, attend, attend_in_windows, from_windows, to_windows, window_parts


class _ChannelWeights(nn.Module):
    """Channels are multiplied by weights that follow from their means (RCAN, arXiv:1807.02758, equation 8)."""

    def __init__(self, dim: int, squeeze: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(dim, dim // squeeze, 1), nn.ReLU(), nn.Conv2d(dim // squeeze, dim, 1),
            nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class ChannelAttentionBlock(nn.Module):
    """CAB (equation 3): two convolutions with fewer channels between them, and channel attention."""

    def __init__(self, dim: int, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            conv3(dim, dim // compress_ratio), nn.GELU(), conv3(dim // compress_ratio, dim),
            _ChannelWeights(dim, squeeze_factor))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C)."""
        return self.cab(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class HybridAttentionBlock(nn.Module):
    """HAB (equation 4): window attention and channel attention side by side, then an MLP."""

    def __init__(self, dim: int, num_heads: int, window_size: int, shifted: bool, compress_ratio: int,
                 squeeze_factor: int, conv_scale: float, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.window_size, self.shift = window_size, window_size // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window_size, num_heads)
        self.conv_scale = conv_scale
        self.conv_block = ChannelAttentionBlock(dim, compress_ratio, squeeze_factor)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows; the parts are those of moved ones."""
        normed = self.norm1(x)
        attended = attend_in_windows(self.attn, normed, self.window_size, self.shift, parts)
        x = x + self.drop_path(attended) + self.conv_block(normed) * self.conv_scale
        return x + self.drop_path(self.mlp(self.norm2(x)))


class OverlappingCrossAttention(nn.Module):
    """OCAB (equation 6): queries of a window attend to a larger one around it, and an MLP.

    Args:
        dim: Channels C.
        window_size: Side of a window of queries.
        overlap_ratio: By which share of it the window of keys is larger.
        num_heads: The number of heads.
        mlp_ratio: Width of the MLP as a multiple of C.
    """

    def __init__(self, dim: int, window_size: int, overlap_ratio: float, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.window_size, self.num_heads = window_size, num_heads
        self.key_window = window_size + int(window_size * overlap_ratio)
        if (self.key_window - window_size) % 2:
            raise ValueError(f'overlap_ratio={overlap_ratio} puts windows of {self.key_window} pixels around those of '
                             f'{window_size}: choose one that adds an even number')
        span = window_size + self.key_window - 1
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(span**2, num_heads))
        self.register_buffer('index', _offsets_index(window_size, self.key_window), persistent=False)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows."""
        size, sides = x.shape[1:3], (self.window_size, self.window_size)
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        q = to_windows(q, sides).unflatten(-1, (self.num_heads, -1)).transpose(2, 3)  # (B, windows, heads, N, D)
        k, v = (self._around(part) for part in (k, v))
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)
        x = self.proj(from_windows(attend(q, k, v, bias), sides, size)) + x
        return x + self.mlp(self.norm2(x))

    def _around(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the larger windows (B, windows, heads, M, D); beyond the border are zeros."""
        margin = (self.key_window - self.window_size) // 2
        x = F.pad(x, (0, 0, margin, margin, margin, margin))
        x = x.unfold(1, self.key_window, self.window_size).unfold(2, self.key_window, self.window_size)
        x = x.flatten(1, 2).unflatten(2, (self.num_heads, -1))  # (B, windows, heads, D, height, width)
        return x.permute(0, 1, 2, 4, 5, 3).flatten(3, 4).contiguous()  # fused attention wants D behind all in memory


def _offsets_index(window: int, key_window: int) -> Tensor:
    """(N, M) entries of the table for each pair of a query and a key.

    The authors' offsets begin below zero and count from the end of the table there, as Python's indices do.
    """
    span = window + key_window - 1
    offset = torch.arange(key_window) - torch.arange(window)[:, None] + window - key_window + 1  # (query, key)
    index = offset[:, None, :, None] * span + offset[None, :, None, :]  # of rows and of columns
    return index.flatten(2).flatten(0, 1) % span**2


class HybridBlocks(nn.Module):
    """The blocks of a group and the overlapping attention behind them."""

    def __init__(self, blocks: nn.ModuleList, overlap_attn: OverlappingCrossAttention) -> None:
        super().__init__()
        self.blocks = blocks
        self.overlap_attn = overlap_attn

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, parts)
        return self.overlap_attn(x)


class HAT(ResidualFrame):
    """HAT; the defaults are the paper's HAT, and HAT-S has ``embed_dim=144, compress_ratio=24, squeeze_factor=24``.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features.
        depths: Blocks of each group; twelve groups in HAT-L.
        num_heads: Heads of attention, one number or one for each group.
        window_size: Side of a window in pixels.
        compress_ratio: By how much channel attention's convolutions are narrower.
        squeeze_factor: By how much its weights' layer is narrower.
        conv_scale: What channel attention is multiplied by. Checkpoints do not tell it; 0.01 in all of the authors'.
        overlap_ratio: By which share the windows of keys are larger in overlapping attention.
        mlp_ratio: Width of MLPs as a multiple of C.
        drop_path_rate: Rate of stochastic depth in the last block.
        upsampler: The reconstruction, see :class:`ResidualFrame`.
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
        window_size: int = 16,
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = .01,
        overlap_ratio: float = .5,
        mlp_ratio: float = 2.,
        drop_path_rate: float = .1,
        upsampler: Upsampler | None = 'pixelshuffle',
        num_features: int = 64,
        img_range: float = 1.,
    ) -> None:
        layers = nn.ModuleList()
        for heads, rates in zip(heads_of_groups(num_heads, len(depths), embed_dim),
                                stochastic_depth(drop_path_rate, depths), strict=True):
            blocks = nn.ModuleList(
                HybridAttentionBlock(embed_dim, heads, window_size, bool(index % 2), compress_ratio, squeeze_factor,
                                     conv_scale, mlp_ratio, rate) for index, rate in enumerate(rates))
            overlap_attn = OverlappingCrossAttention(embed_dim, window_size, overlap_ratio, heads, mlp_ratio)
            layers.append(ResidualGroup(HybridBlocks(blocks, overlap_attn), end_convs(embed_dim)))
        super().__init__(layers, embed_dim, window_size, scale, in_channels, upsampler, num_features=num_features,
                         img_range=img_range)
        self.window_size = window_size

    def context(self, features: Tensor) -> Sequence[Tensor]:
        return [window_parts(features.shape[-2:], self.window_size, features.device)]
