"""SwinIR (Liang et al., arXiv:2108.10257): Swin blocks at the resolution of the image, for all kinds of restoration.

Section 3.1: a convolution (shallow features), groups of Swin blocks with a convolution at their ends (deep features), and
a reconstruction that depends on the task. The five forms of the paper:

==========================  ======================  =======  ==========  ============  =============
form                        ``upsampler``           scale    window      embed_dim     depths
==========================  ======================  =======  ==========  ============  =============
classical super-resolution  ``pixelshuffle``        2-8      8           180           6 x 6
lightweight                 ``pixelshuffledirect``  2-4      8           60            4 x 6
real-world (M, L)           ``nearest+conv``        4 (2)    8           180, 240 (L)  6 x 6, 9 x 6
denoising                   ``None``                1        8           180           6 x 6
JPEG                        ``None``                1        7           180           6 x 6
==========================  ======================  =======  ==========  ============  =============

Parameters have the names of the authors' checkpoints (github.com/JingyunLiang/SwinIR). What depends on the size of images
there (masks, the grid of the patch embedding) is computed for each image.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from ...layers import crop
from .base import RestorationNetwork, mirror_to_multiple, stochastic_depth
from .reconstruction import conv3, three_convs, upsample_in_steps
from .windows import WindowAttention, from_windows, shifted_mask, to_windows

Upsampler = Literal['pixelshuffle', 'pixelshuffledirect', 'nearest+conv']


class SwinBlock(nn.Module):
    """Attention within windows, moved by half a window in every other block, and an MLP (Swin, equation 3)."""

    def __init__(self, dim: int, num_heads: int, window_size: int, shift: int, mlp_ratio: float, drop_path: float,
                 qkv_bias: bool = True) -> None:
        super().__init__()
        self.window_size, self.shift = window_size, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, window_size, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, H, W, C) with whole windows; the mask is that of moved ones."""
        x = x + self.drop_path(self.attend(self.norm1(x), mask))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        size, sides = x.shape[1:3], (self.window_size, self.window_size)
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        windows = self.attn(to_windows(x, sides), mask if self.shift else None)
        x = from_windows(windows, sides, size)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x


class SwinBlocks(nn.Module):
    """Blocks whose windows are still and moved in turn."""

    def __init__(self, dim: int, num_heads: int, window_size: int, mlp_ratio: float, drop_path: Sequence[float],
                 qkv_bias: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, num_heads, window_size, window_size // 2 * (index % 2), mlp_ratio, rate, qkv_bias)
            for index, rate in enumerate(drop_path))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class ResidualGroup(nn.Module):
    """RSTB (section 3.2): blocks, convolution, sum."""

    def __init__(self, blocks: nn.Module, conv: nn.Module) -> None:
        super().__init__()
        self.residual_group = blocks
        self.conv = conv

    def forward(self, x: Tensor, *masks: Tensor) -> Tensor:
        """(B, H, W, C)."""
        features = self.residual_group(x, *masks)
        return self.conv(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + x


class Embedding(nn.Module):
    """Pixels are tokens; the norm has the name of the authors' patch embedding."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)


class SwinIR(RestorationNetwork):
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
        upsampler: The reconstruction; None for a scale of 1.
        group_convs: 1 or 3 convolutions at the ends of groups; 3 in the large real-world form.
        num_features: Channels of a reconstruction with several convolutions; 64 in all of the authors' networks.
        img_range: Images are multiplied by it; 255 in the authors' networks for JPEG, else 1.
        skip: ``'bicubic'`` adds the image enlarged by interpolation to the answer, whose last convolution begins with
            zeros: a small network then learns from the first step on what interpolation lacks. None in the paper.

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
        super().__init__(scale, in_channels)
        _check(scale, upsampler, group_convs, skip)
        heads = (num_heads, ) * len(depths) if isinstance(num_heads, int) else tuple(num_heads)
        self.upsampler, self.window_size, self.img_range, self.skip = upsampler, window_size, img_range, skip
        self.conv_first = conv3(in_channels, embed_dim)
        self.patch_embed = Embedding(embed_dim)
        conv = conv3 if group_convs == 1 else lambda dim, _: three_convs(dim)
        self.layers = nn.ModuleList(
            ResidualGroup(SwinBlocks(embed_dim, count, window_size, mlp_ratio, rates, qkv_bias),
                          conv(embed_dim, embed_dim))
            for count, rates in zip(heads, stochastic_depth(drop_path_rate, depths), strict=True))
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = conv(embed_dim, embed_dim)
        self._build_reconstruction(embed_dim, num_features)
        if skip:
            last = self.upsample[0] if upsampler == 'pixelshuffledirect' else self.conv_last
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def _build_reconstruction(self, embed_dim: int, width: int) -> None:
        if self.upsampler is None:
            self.conv_last = conv3(embed_dim, self.in_channels)
            return
        if self.upsampler == 'pixelshuffledirect':
            self.upsample = nn.Sequential(conv3(embed_dim, self.scale**2 * self.in_channels),
                                          nn.PixelShuffle(self.scale))
            return
        self.conv_before_upsample = nn.Sequential(conv3(embed_dim, width), nn.LeakyReLU())
        if self.upsampler == 'pixelshuffle':
            self.upsample = upsample_in_steps(self.scale, width)
        else:
            self.conv_up1 = conv3(width, width)
            if self.scale == 4:
                self.conv_up2 = conv3(width, width)
            self.conv_hr = conv3(width, width)
        self.conv_last = conv3(width, self.in_channels)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, C, scale * H, scale * W)."""
        size = images.shape[-2:]
        padded = mirror_to_multiple(images, self.window_size)
        x = (padded - self.mean) * self.img_range
        features = self.conv_first(x)
        features = self.conv_after_body(self.deep_features(features)) + features
        restored = self.reconstruct(features) / self.img_range + self.mean
        if self.upsampler is None:
            restored = restored + padded - self.mean
        if self.skip:
            restored = restored - self.mean + F.interpolate(padded, scale_factor=self.scale, mode='bicubic')
        return crop(restored, (size[0] * self.scale, size[1] * self.scale))

    def deep_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W), whole windows, through all groups."""
        half = self.window_size // 2
        mask = shifted_mask(x.shape[-2:], (self.window_size, self.window_size), (half, half), x.device)
        x = self.patch_embed.norm(x.permute(0, 2, 3, 1))
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x).permute(0, 3, 1, 2)

    def reconstruct(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to images at the full scale; for a scale of 1, what is added to the image."""
        if self.upsampler is None:
            return self.conv_last(features)
        if self.upsampler == 'pixelshuffledirect':
            return self.upsample(features)
        features = self.conv_before_upsample(features)
        if self.upsampler == 'pixelshuffle':
            return self.conv_last(self.upsample(features))
        for conv in (self.conv_up1, *([self.conv_up2] if self.scale == 4 else [])):
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2., mode='nearest')), .2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), .2))


def _check(scale: int, upsampler: str | None, group_convs: int, skip: str | None) -> None:
    if upsampler not in (None, 'pixelshuffle', 'pixelshuffledirect', 'nearest+conv'):
        raise ValueError(f"upsampler='{upsampler}': choose 'pixelshuffle', 'pixelshuffledirect', 'nearest+conv' or None")
    if upsampler is None and scale != 1:
        raise ValueError(f"scale={scale} needs an upsampler: 'pixelshuffle', 'pixelshuffledirect' or 'nearest+conv'")
    if upsampler == 'nearest+conv' and scale not in (2, 4):
        raise ValueError(f"scale={scale}: upsampler='nearest+conv' has a scale of 2 or 4")
    if group_convs not in (1, 3):
        raise ValueError(f'group_convs={group_convs}: give 1 or 3')
    if skip not in (None, 'bicubic') or (skip and upsampler is None):
        raise ValueError(f"skip='{skip}': give None, or 'bicubic' with an upsampler")
