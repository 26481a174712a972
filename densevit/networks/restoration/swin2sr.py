"""Swin2SR (Conde et al., arXiv:2209.11345): SwinIR's frame with the blocks of Swin V2 (arXiv:2111.09883).

Attention compares directions of queries and keys at a learned temperature, the bias of an offset comes from a small
network of its logarithm, and norms stand behind attention and MLP: training is steadier and window sizes may change.

Parameters have the names of the authors' checkpoints (github.com/mv-lab/swin2sr).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from ...layers import crop
from .base import stochastic_depth
from .frame import (
    Blocks,
    ResidualFrame,
    ResidualGroup,
    Upsampler,
    conv3,
    end_convs,
    heads_of_groups,
    initialised,
    shuffles,
)
from .windows import attend, attend_in_windows, relative_position_index, window_parts

_MAX_LOGIT_SCALE = math.log(100.)  # Swin V2, section 3.2
_COSINE_START = math.log(10.)


class _SharedLinear(nn.Linear):
    """A linear layer whose bias is given, for it is made of parameters of another module."""

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(x, self.weight, bias)


class CosineWindowAttention(nn.Module):
    """Scaled cosine attention within windows with a log-spaced continuous position bias (Swin V2, equations 2 to 4).

    Args:
        dim: Channels C.
        window_size: Side of a window in pixels.
        num_heads: The number of heads.
        qkv_bias: Whether queries and values have biases; keys have none.
    """

    def __init__(self, dim: int, window_size: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.logit_scale = nn.Parameter(torch.full((num_heads, 1, 1), _COSINE_START))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, num_heads, bias=False))
        self.qkv = _SharedLinear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.v_bias = nn.Parameter(torch.zeros(dim)) if qkv_bias else None
        self.proj = nn.Linear(dim, dim)
        self.register_buffer('index', relative_position_index((window_size, window_size)), persistent=False)
        self.register_buffer('offsets', _log_offsets(window_size), persistent=False)

    def forward(self, windows: Tensor, parts: Tensor | None = None) -> Tensor:
        """Attend within (B, windows, N, C), and within their parts where they were moved."""
        bias = None
        if self.q_bias is not None:
            bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        q, k, v = self.qkv(windows, bias).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        q = F.normalize(q, dim=-1) * self.logit_scale.clamp(max=_MAX_LOGIT_SCALE).exp()
        table = 16 * self.cpb_mlp(self.offsets).sigmoid()  # (offsets, heads)
        return self.proj(attend(q, F.normalize(k, dim=-1), v, table[self.index].permute(2, 0, 1), parts, scale=1.))


def _log_offsets(window_size: int) -> Tensor:
    """((2 * window_size - 1) ** 2, 2): offsets from -8 to 8 on a logarithmic scale."""
    offsets = torch.arange(1 - window_size, window_size, dtype=torch.float32) / max(window_size - 1, 1) * 8
    offsets = offsets.sign() * (offsets.abs() + 1).log2() / math.log2(8)
    return torch.stack(torch.meshgrid(offsets, offsets, indexing='ij'), -1).flatten(0, 1)


class Swin2Block(nn.Module):
    """Attention within windows and an MLP, each with a norm behind it (Swin V2, section 3.2)."""

    def __init__(self, dim: int, num_heads: int, window_size: int, shifted: bool, mlp_ratio: float, drop_path: float,
                 qkv_bias: bool) -> None:
        super().__init__()
        self.window_size, self.shift = window_size, window_size // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn = CosineWindowAttention(dim, window_size, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows; the parts are those of moved ones."""
        x = x + self.drop_path(self.norm1(attend_in_windows(self.attn, x, self.window_size, self.shift, parts)))
        return x + self.drop_path(self.norm2(self.mlp(x)))


class _Projection(nn.Module):
    """The authors' patch embedding of single pixels: a linear layer, and a norm at the beginning of the network."""

    def __init__(self, dim: int, norm: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(dim, dim, 1)
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, H, W, C)."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class _Group(ResidualGroup):
    """RSTB with a projection behind its convolution."""

    def __init__(self, blocks: nn.Module, conv: nn.Module, dim: int) -> None:
        super().__init__(blocks, conv)
        self.patch_embed = _Projection(dim, norm=False)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        features = self.residual_group(x, *context)
        return self.patch_embed(self.conv(features.permute(0, 3, 1, 2))) + x


class Swin2SR(ResidualFrame):
    """Swin2SR.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features; 60 in the light form.
        depths: Blocks of each group; four groups in the light form.
        num_heads: Heads of attention, one number or one for each group.
        window_size: Side of a window in pixels.
        mlp_ratio: Width of MLPs as a multiple of C.
        qkv_bias: Whether queries and values have biases.
        drop_path_rate: Rate of stochastic depth in the last block.
        upsampler: The reconstruction, see :class:`ResidualFrame`; or one of

            - ``'pixelshuffle_aux'`` for compressed images (section 3.2), which makes a small image first and enlarges
              that, beside bicubic interpolation;
            - ``'pixelshuffle_hf'``, which adds high frequencies that as many groups again find in the features of the
              first ones. It is in the authors' code and not in the paper; of the three images that their code gives
              (without what is added, the sum, what is added), the sum is the answer here.
        group_convs: 1 or 3 convolutions at the ends of groups.
        num_features: Channels of a reconstruction with several convolutions.
        img_range: Images are multiplied by it.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        scale: int = 1,
        in_channels: int = 3,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, ) * 6,
        num_heads: int | Sequence[int] = 6,
        window_size: int = 8,
        mlp_ratio: float = 2.,
        qkv_bias: bool = True,
        drop_path_rate: float = .1,
        upsampler: Upsampler | Literal['pixelshuffle_aux', 'pixelshuffle_hf'] | None = None,
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
    ) -> None:
        def groups() -> nn.ModuleList:
            layers = nn.ModuleList()
            for heads, rates in zip(heads_of_groups(num_heads, len(depths), embed_dim),
                                    stochastic_depth(drop_path_rate, depths), strict=True):
                blocks = [Swin2Block(embed_dim, heads, window_size, bool(index % 2), mlp_ratio, rate, qkv_bias)
                          for index, rate in enumerate(rates)]
                layers.append(_Group(Blocks(blocks), end_convs(embed_dim, group_convs), embed_dim))
            return initialised(layers)

        aux, hf = (upsampler == f'pixelshuffle_{kind}' for kind in ('aux', 'hf'))
        super().__init__(groups(), embed_dim, window_size, scale, in_channels,
                         'pixelshuffle' if aux or hf else upsampler, group_convs, num_features, img_range)
        self.window_size, self.aux, self.hf = window_size, aux, hf
        self.patch_embed = _Projection(embed_dim, norm=True)
        if aux:
            self.conv_bicubic = conv3(in_channels, num_features)
            self.conv_aux = conv3(num_features, in_channels)
            self.conv_after_aux = nn.Sequential(conv3(in_channels, num_features), nn.LeakyReLU())
        if hf:
            self.layers_hf = groups()
            self.conv_first_hf = nn.Sequential(conv3(num_features, embed_dim), nn.LeakyReLU())
            self.conv_after_body_hf = conv3(embed_dim, embed_dim)
            self.conv_before_upsample_hf = nn.Sequential(conv3(embed_dim, num_features), nn.LeakyReLU())
            self.upsample_hf = shuffles(scale, num_features)
            self.conv_last_hf = conv3(num_features, in_channels)

    def context(self, features: Tensor) -> Sequence[Tensor]:
        return [window_parts(features.shape[-2:], self.window_size, features.device)]

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, C, scale * H, scale * W)."""
        if not self.aux:
            return super().forward(images)
        size = tuple(side * self.scale for side in images.shape[-2:])
        # The authors' code squeezes the padded image to this size, which moves it where there are pads.
        enlarged = F.interpolate((images - self.mean) * self.img_range, scale_factor=self.scale, mode='bicubic')
        small = self.conv_aux(self.conv_before_upsample(self.features(self.padded(images))))
        features = crop(self.upsample(self.conv_after_aux(small)), size) + self.conv_bicubic(enlarged)
        return self.conv_last(features) / self.img_range + self.mean

    def reconstruct(self, features: Tensor) -> Tensor:
        """See :meth:`ResidualFrame.reconstruct`."""
        restored = super().reconstruct(features)
        if not self.hf:
            return restored
        first = self.conv_first_hf(self.conv_before_upsample(features))
        fine = self.conv_after_body_hf(self.deep_features(first, self.layers_hf)) + first
        return restored + self.conv_last_hf(self.upsample_hf(self.conv_before_upsample_hf(fine)))
