"""ViTMatte: Boosting Image Matting with Pre-trained Plain Vision Transformers (arXiv:2305.15272).

A plain ViT that sees the trimap as a fourth channel and attends within windows, with a convolutional residual block
behind each of its global blocks (section 3.3), and a small decoder that brings details of the image to its one map of
stride 16 (section 3.4).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from ...backbones import PlainViT, Tokens, pad_to_multiple
from ...layers.symbolic import is_symbolic
from .base import MattingNetwork

_BAND_PIXELS = 2**17  # of the maps that the decoder makes at once in prediction: 70 channels of them are 37 MB
_HALO = 2  # rows of the coarser map beside a band: enlarging reads one, two convolutions one of the finer map each


class ResidualBlock(nn.Module):
    """Convolutions of 1, 3 and 1 pixels with layer norms beside a map (B, D, h, w), which begin as nothing.

    ViTDet's convolutional propagation (arXiv:2203.16527, section 3) behind every global block, rather than in the place
    of one.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim // 2
        self.conv1, self.norm1 = nn.Conv2d(dim, hidden, 1, bias=False), LayerNorm2d(hidden)
        self.conv2, self.norm2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False), LayerNorm2d(hidden)
        self.conv3, self.norm3 = nn.Conv2d(hidden, dim, 1, bias=False), LayerNorm2d(dim)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
        nn.init.zeros_(self.norm3.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = F.gelu(self.norm1(self.conv1(x)))
        out = F.gelu(self.norm2(self.conv2(out)))
        return x + self.norm3(self.conv3(out))


class ConvNormReLU(nn.Module):
    """A convolution of 3 x 3 pixels, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class ViTMatte(MattingNetwork):
    """A plain ViT and a decoder that captures details.

    Prediction makes the decoder's maps in bands of rows, which changes no value: whole maps at the size of the image
    would need 2 GB for 2048 x 2048 pixels. The memory of global attention is bounded by the trunk.

    Args:
        backbone: A plain ViT with ``in_chans=4``; the authors' has ``family='sam'``, windows of 14 tokens and four
            global blocks. It gives one map of its blocks, of a stride that is 2 to the number of ``fusion_channels``.
            Maps of a stem that it gives as well (``stem_out``) join the details of their strides: a stem that has
            learned from other images knows edges from the beginning.
        residual_blocks: Behind which blocks a :class:`ResidualBlock` stands, in any order: those that attend globally.
        detail_channels: Channels of the convolutions of the image, at strides 2, 4, 8 ...
        fusion_channels: Channels of the maps that join them with the ViT's, from coarse to fine; one more than
            ``detail_channels``, for the image itself.
        hidden_dim: Channels before the last convolution.

    Raises:
        ValueError: The backbone does not give one map of that stride, has not four input channels, or has no such
            block.
    """

    def __init__(
        self,
        backbone: PlainViT,
        residual_blocks: Sequence[int] = (2, 5, 8, 11),
        detail_channels: Sequence[int] = (48, 96, 192),
        fusion_channels: Sequence[int] = (256, 128, 64, 32),
        hidden_dim: int = 16,
    ) -> None:
        super().__init__(backbone)
        if not isinstance(backbone, PlainViT):
            raise ValueError(f'ViTMatte is built around a PlainViT, not a {type(backbone).__name__}')
        *finer, stride = backbone.strides
        detail_strides = [2**(level + 1) for level in range(len(detail_channels))]
        if (stride != 2**len(fusion_channels) or len(fusion_channels) != len(detail_channels) + 1
                or len(backbone.out_indices) != 1 or not {*finer} <= {*detail_strides}):
            raise ValueError(f'ViTMatte doubles one map {len(fusion_channels)} times and joins {len(detail_channels)} '
                             f'maps of details: the backbone gives strides {backbone.strides}, so give out_indices='
                             '(-1,), and as many fusion_channels, one more than detail_channels, as make its stride')
        if backbone.in_channels != 4:
            raise ValueError(f'the backbone of ViTMatte sees {backbone.in_channels} channels: give it in_chans=4, '
                             'colours and trimap')
        if unknown := [index for index in residual_blocks if not 0 <= index < backbone.depth]:
            raise ValueError(f'residual_blocks={tuple(residual_blocks)}: there is no block {unknown[0]} of '
                             f'{backbone.depth}')
        self.residual = nn.ModuleDict({
            str(index): ResidualBlock(backbone.embed_dim) for index in sorted({*residual_blocks})})
        detail_channels = [4, *detail_channels]
        self.detail = nn.ModuleList(ConvNormReLU(*channels, stride=2) for channels in pairwise(detail_channels))
        self.of_stem = [(index, 1 + detail_strides.index(stride)) for index, stride in zip(
            backbone.stem_out, finer, strict=True)]  # maps of the stem and the details that they join
        for (_, level), channels in zip(self.of_stem, backbone.out_channels[:-1], strict=True):
            detail_channels[level] += channels
        self.fusion = nn.ModuleList(
            ConvNormReLU(coarse + fine, out) for (coarse, out), fine in zip(
                pairwise((backbone.embed_dim, *fusion_channels)), reversed(detail_channels), strict=True))
        self.predict = nn.Sequential(
            nn.Conv2d(fusion_channels[-1], hidden_dim, 3, padding=1), nn.BatchNorm2d(hidden_dim), nn.ReLU(),
            nn.Conv2d(hidden_dim, 1, 1))

    @property
    def size_divisor(self) -> int:
        """Twice the stride: the authors pad images to multiples of 32."""
        return 2 * self.backbone.stride

    def forward(self, images: Tensor) -> Tensor:
        """The opacity (B, h, w) of (B, 4, H, W), colours and trimap, over the padded images."""
        images = pad_to_multiple(images, self.size_divisor)
        details = [images]
        for conv in self.detail:
            details.append(conv(details[-1]))
        tokens = self.backbone.embed(images)
        for index, level in self.of_stem:
            details[level] = torch.cat((details[level], tokens.stem[index]), dim=1)
        x = self._blocks(tokens)
        for index, fuse in enumerate(self.fusion):
            last = index == len(self.fusion) - 1
            x = self._fuse((lambda joined, fuse=fuse: self.predict(fuse(joined))) if last else fuse, x, details.pop())
        return x.squeeze(1).float().sigmoid()

    def _blocks(self, tokens: Tokens) -> Tensor:
        """The ViT's map (B, D, h, w) of what it embedded."""
        start = 0
        for index, residual in self.residual.items():
            tokens = self.backbone.run(tokens, start, start := int(index) + 1)
            tokens = tokens.with_patches(residual(tokens.feature_map()).flatten(2).transpose(1, 2))
        return self.backbone.norm(self.backbone.run(tokens, start)).feature_map()

    def _fuse(self, fuse: Callable[[Tensor], Tensor], coarse: Tensor, fine: Tensor) -> Tensor:
        """``fuse`` of a map enlarged to twice its size, with a finer one: (B, C, h, w) and (B, C', 2 h, 2 w)."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or is_symbolic(*fine.shape):
            return fuse(_joined(coarse, fine))
        rows, width = coarse.shape[2], fine.shape[3]
        step, result = max(1, _BAND_PIXELS // (2 * width * len(fine))), None
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            first, last = max(0, start - _HALO), min(rows, stop + _HALO)
            band = fuse(_joined(coarse[:, :, first:last], fine[:, :, 2 * first:2 * last]))
            if result is None:
                result = band.new_empty(*band.shape[:2], 2 * rows, width)
            result[:, :, 2 * start:2 * stop] = band[:, :, 2 * (start - first):2 * (stop - first)]
        return result


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat((fine, F.interpolate(coarse, scale_factor=2, mode='bilinear', align_corners=False)), dim=1)
