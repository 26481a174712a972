"""SwinIR (Liang et al., arXiv:2108.10257): Swin blocks at the resolution of the image, for all kinds of restoration.

The five forms of the paper (section 4.1 and its supplement):

==========================  ======================  =======  ==========  ============  =============
form                        ``upsampler``           scale    window      embed_dim     depths
==========================  ======================  =======  ==========  ============  =============
classical super-resolution  ``pixelshuffle``        2-8      8           180           6 x 6
lightweight                 ``pixelshuffledirect``  2-4      8           60            4 x 6
real-world (M, L)           ``nearest+conv``        4 (2)    8           180, 240 (L)  6 x 6, 9 x 6
denoising                   ``None``                1        8           180           6 x 6
JPEG                        ``None``                1        7           180           6 x 6
==========================  ======================  =======  ==========  ============  =============

Parameters have the names of the authors' checkpoints (github.com/JingyunLiang/SwinIR). What depends on the size of
images there (which windows are cut, the grid of the patch embedding) is computed for each image.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from .base import stochastic_depth
from .frame import ResidualFrame, ResidualGroup, Upsampler, end_convs, heads_of_groups
from .windows import WindowAttention, attend_in_windows, window_parts


class SwinBlock(nn.Module):
    """Attention within windows, moved by half a window where ``shifted``, and an MLP (Swin, equation 3)."""

    def __init__(self, dim: int, num_heads: int, window_size: int, shifted: bool, mlp_ratio: float, drop_path: float,
                 qkv_bias: bool = True) -> None:
        super().__init__()
        self.window_size, self.shift = window_size, window_size // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window_size, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows; the parts are those of moved ones."""
        x = x + self.drop_path(attend_in_windows(self.attn, self.norm1(x), self.window_size, self.shift, parts))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class SwinBlocks(nn.Module):
    """Blocks whose windows are still and moved in turn."""

    def __init__(self, dim: int, num_heads: int, window_size: int, mlp_ratio: float, drop_path: Sequence[float],
                 qkv_bias: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, num_heads, window_size, bool(index % 2), mlp_ratio, rate, qkv_bias)
            for index, rate in enumerate(drop_path))

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, parts)
        return x


class SwinIR(ResidualFrame):
    """SwinIR in all of its forms.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features.
        depths: Blocks of each group.
        num_heads: Heads of attention, one number or one for each group.
        window_size: Side of a window in pixels; 7 for JPEG, whose blocks of 8 it should not share.
        mlp_ratio: Width of MLPs as a multiple of C.
        qkv_bias: Whether queries, keys and values have biases.
        drop_path_rate: Rate of stochastic depth in the last block.
        upsampler: The reconstruction, see :class:`ResidualFrame`; None for a scale of 1.
        group_convs: 1 or 3 convolutions at the ends of groups; 3 in the large real-world form.
        num_features: Channels of a reconstruction with several convolutions; 64 in all of the authors' networks.
        img_range: Images are multiplied by it; 255 in the authors' networks for JPEG, else 1.
        skip: See :class:`ResidualFrame`.

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
        upsampler: Upsampler | None = None,
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
        skip: Literal['bicubic'] | None = None,
    ) -> None:
        layers = nn.ModuleList(
            ResidualGroup(SwinBlocks(embed_dim, heads, window_size, mlp_ratio, rates, qkv_bias),
                          end_convs(embed_dim, group_convs))
            for heads, rates in zip(heads_of_groups(num_heads, len(depths), embed_dim),
                                    stochastic_depth(drop_path_rate, depths), strict=True))
        super().__init__(layers, embed_dim, window_size, scale, in_channels, upsampler, group_convs, num_features,
                         img_range, skip)
        self.window_size = window_size

    def context(self, features: Tensor) -> Sequence[Tensor]:
        return [window_parts(features.shape[-2:], self.window_size, features.device)]
