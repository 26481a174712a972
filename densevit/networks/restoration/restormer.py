"""Restormer (Zamir et al., Efficient Transformer for High-Resolution Image Restoration, arXiv:2111.09881).

A U-net of four levels whose attention is transposed: channels attend to channels over all pixels (section 3.1), so that
memory and time grow with the number of pixels and no window bounds what is seen. Depthwise convolutions before it and
within the gated MLP (section 3.2) mix what is near. The image is added to the answer.

This is written from the paper; the authors' code has an academic licence. Parameters have the names of the authors'
checkpoints (github.com/swz30/Restormer) but for those of norms, which :mod:`densevit.weights.names.restoration` knows.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from ...layers import crop
from .base import RestorationNetwork, mirror_to_multiple
from .stages import Stage

Norm = Literal['with_bias', 'bias_free']
LEVELS = 4
_EPS = 1e-5


class BiasFreeNorm(nn.Module):
    """(B, C, H, W) over the deviation of the channels of each pixel, times a weight; nothing is subtracted or added.

    The authors' checkpoints for noise have it: without any additive term a denoiser generalises to other levels of
    noise (Mohan et al., arXiv:1906.05478). The mean of the channels counts in their deviation alone.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = (wide.var(1, keepdim=True, correction=0) + _EPS).rsqrt()
        return (wide * scale * self.weight.view(-1, 1, 1)).to(x.dtype)


def _norm(dim: int, kind: Norm) -> nn.Module:
    return BiasFreeNorm(dim) if kind == 'bias_free' else LayerNorm2d(dim, eps=_EPS)


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


def _conv1(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, bias=False)


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class TransposedAttention(nn.Module):
    """MDTA (section 3.1, equation 1): each head has a map of C/heads x C/heads, of cosines over all pixels.

    Args:
        dim: Channels C.
        num_heads: The number of heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = _conv1(dim, 3 * dim)
        self.qkv_dwconv = _depthwise(3 * dim)
        self.project_out = _conv1(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        q, k, v = (part.unflatten(1, (self.num_heads, -1)).flatten(3)  # (B, heads, C / heads, H * W)
                   for part in self.qkv_dwconv(self.qkv(x)).chunk(3, 1))
        logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3) * self.temperature
        attended = logits.softmax(-1) @ v
        return self.project_out(attended.flatten(1, 2).unflatten(2, x.shape[2:]))


class GatedFeedForward(nn.Module):
    """GDFN (section 3.2, equation 2): one half of the hidden channels, through a GELU, gates the other.

    Args:
        dim: Channels C.
        expansion: Width of each half as a multiple of C.
    """

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = _conv1(dim, 2 * hidden)
        self.dwconv = _depthwise(2 * hidden)
        self.project_out = _conv1(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(gate) * value)


class RestormerBlock(nn.Module):
    """Attention, then a gated MLP, each behind a norm and with a sum around it.

    Args:
        dim, num_heads, expansion: See :class:`TransposedAttention` and :class:`GatedFeedForward`.
        norm: See :class:`Restormer`.
    """

    def __init__(self, dim: int, num_heads: int, expansion: float, norm: Norm) -> None:
        super().__init__()
        self.norm1 = _norm(dim, norm)
        self.attn = TransposedAttention(dim, num_heads)
        self.norm2 = _norm(dim, norm)
        self.ffn = GatedFeedForward(dim, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class _Embedding(nn.Module):
    """The first convolution, under the authors' name."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = _conv3(in_channels, dim)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images)


class _Resampling(nn.Module):
    """Half the sides and twice the channels, or the other way round, by shuffling pixels (Shi et al., 2016)."""

    def __init__(self, dim: int, up: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv3(dim, 2 * dim if up else dim // 2),
                                  nn.PixelShuffle(2) if up else nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Restormer(RestorationNetwork):
    """Restormer. The defaults are the form for rain and for blur by motion or defocus (26.13 M parameters).

    That for noise has ``norm='bias_free'``, that for defocus of dual-pixel images ``dual_pixel=True``.

    Args:
        in_channels: 3 for RGB, 1 for grey images.
        dual_pixel: Whether images are two views of a dual-pixel sensor, each of ``in_channels``, one behind the other.
            Neither of them is added to the answer, which has ``in_channels``.
        dim: Channels of the first level; each next one has twice as many.
        num_blocks: Blocks of each of the four levels; the encoder and the decoder have as many.
        num_refinement_blocks: Blocks behind the decoder, at the full size.
        num_heads: Heads of attention of each level.
        expansion: Width of the gated MLPs as a multiple of a level's channels.
        norm: ``'with_bias'``, the layer norm, or ``'bias_free'``, see :class:`BiasFreeNorm`.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        in_channels: int = 3,
        dual_pixel: bool = False,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        num_heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
        norm: Norm = 'with_bias',
    ) -> None:
        _check(dim, num_blocks, num_heads, norm)
        super().__init__(1, 2 * in_channels if dual_pixel else in_channels)
        self.mean.zero_()
        self.out_channels, self.dual_pixel, self.norm, self.dim = in_channels, dual_pixel, norm, dim

        def blocks(level: int, count: int, width: int) -> nn.Sequential:
            return nn.Sequential(*(RestormerBlock(width, num_heads[level], expansion, norm) for _ in range(count)))

        dims = [dim * 2**level for level in range(LEVELS)]
        self.patch_embed = _Embedding(self.in_channels, dim)
        self.encoder_level1 = blocks(0, num_blocks[0], dims[0])
        self.down1_2 = _Resampling(dims[0], up=False)
        self.encoder_level2 = blocks(1, num_blocks[1], dims[1])
        self.down2_3 = _Resampling(dims[1], up=False)
        self.encoder_level3 = blocks(2, num_blocks[2], dims[2])
        self.down3_4 = _Resampling(dims[2], up=False)
        self.latent = blocks(3, num_blocks[3], dims[3])
        self.up4_3 = _Resampling(dims[3], up=True)
        self.reduce_chan_level3 = _conv1(2 * dims[2], dims[2])
        self.decoder_level3 = blocks(2, num_blocks[2], dims[2])
        self.up3_2 = _Resampling(dims[2], up=True)
        self.reduce_chan_level2 = _conv1(2 * dims[1], dims[1])
        self.decoder_level2 = blocks(1, num_blocks[1], dims[1])
        self.up2_1 = _Resampling(dims[1], up=True)
        # At the full size both halves are kept, so that details of the encoder reach the end (section 3).
        self.decoder_level1 = blocks(0, num_blocks[0], 2 * dims[0])
        self.refinement = blocks(0, num_refinement_blocks, 2 * dims[0])
        if dual_pixel:
            self.skip_conv = _conv1(dims[0], 2 * dims[0])
        self.output = _conv3(2 * dims[0], self.out_channels)

    def refusal(self, channels: int) -> str:
        if not self.dual_pixel:
            return super().refusal(channels)
        return (f'Restormer takes images of {self.in_channels} channels, two views of {self.out_channels} one behind '
                f'the other, not {channels} channels: give such, or set model.head.dual_pixel=False')

    def feature_stages(self) -> list[Stage]:
        """The levels of the encoder, those of the decoder and the refinement."""
        parts = ((self.encoder_level1, 1), (self.encoder_level2, 2), (self.encoder_level3, 4), (self.latent, 8),
                 (self.decoder_level3, 4), (self.decoder_level2, 2), (self.decoder_level1, 2), (self.refinement, 2))
        return [Stage(module, factor * self.dim) for module, factor in parts]

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, C, H, W); of dual-pixel images, (B, 2C, H, W) to (B, C, H, W)."""
        padded = mirror_to_multiple(images, 2**(LEVELS - 1))
        embedded = self.patch_embed(padded)
        one = self.encoder_level1(embedded)  # (B, dim, H, W)
        two = self.encoder_level2(self.down1_2(one))  # (B, 2 dim, H / 2, W / 2)
        three = self.encoder_level3(self.down2_3(two))
        x = self.latent(self.down3_4(three))  # (B, 8 dim, H / 8, W / 8)
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(x), three), 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(x), two), 1)))
        x = self.refinement(self.decoder_level1(torch.cat((self.up2_1(x), one), 1)))
        restored = self.output(x + self.skip_conv(embedded)) if self.dual_pixel else self.output(x) + padded
        return crop(restored, images.shape[2:])


def _check(dim: int, num_blocks: Sequence[int], num_heads: Sequence[int], norm: Norm) -> None:
    if len(num_blocks) != LEVELS or len(num_heads) != LEVELS:
        raise ValueError(f'Restormer has {LEVELS} levels: give as many num_blocks and num_heads, not {len(num_blocks)} '
                         f'and {len(num_heads)}')
    for level, heads in enumerate(num_heads):
        if dim * 2**level % heads:
            raise ValueError(f'num_heads={heads} of level {level + 1} does not divide its {dim * 2**level} channels')
    if dim % 2:
        raise ValueError(f'dim={dim}: half of it is needed between levels, give an even one')
    if norm not in ('with_bias', 'bias_free'):
        raise ValueError(f"norm={norm!r}: choose 'with_bias' or 'bias_free'")
