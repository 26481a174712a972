"""Semantic segmentation beside k-means Mask Transformer's masks, learned to teach the backbone and not used later."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers import trunc_normal_tf_
from torch import Tensor, nn

from ....layers import resize_bilinear
from .parts import ConvNorm, depthwise

_RATES = (6, 12, 18)
_DROPOUT = .1


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (arXiv:1706.05587, section 3.3): (B, C, h, w) to (B, D, h, w)."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([
            ConvNorm(in_channels, dim), *(ConvNorm(in_channels, dim, 3, dilation=rate) for rate in _RATES)])
        self.pool = ConvNorm(in_channels, dim)
        self.project = nn.Sequential(ConvNorm(5 * dim, dim), nn.Dropout(_DROPOUT))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat((*(branch(x) for branch in self.branches), pooled), dim=1))


class SemanticDecoder(nn.Module):
    """Panoptic-DeepLab's semantic decoder and head (arXiv:1911.10194, figure 2) on a backbone's maps.

    Args:
        in_channels: Channels of the maps of strides 32, 8 and 4.
        num_classes: C; the head has C + 1 outputs, of which the last is never right.
        dim: Width.
        corner_aligned: Whether corner pixels of the maps lie on each other.
    """

    def __init__(self, in_channels: Sequence[int], num_classes: int, dim: int, corner_aligned: bool) -> None:
        super().__init__()
        self.corner_aligned = corner_aligned
        coarse, *finer = in_channels
        self.aspp = ASPP(coarse, dim)
        widths = (dim // 4, dim // 8)
        self.lateral = nn.ModuleList(ConvNorm(channels, width) for channels, width in zip(finer, widths, strict=True))
        self.merge = nn.ModuleList(depthwise(dim + width, dim) for width in widths)
        self.head = nn.Sequential(*depthwise(dim, dim), nn.Conv2d(dim, num_classes + 1, 1))
        init_classifier(self.head[-1])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of strides 32, 8 and 4 to logits (B, C + 1, H / 4, W / 4)."""
        x = self.aspp(maps[0])
        for fine, lateral, merge in zip(maps[1:], self.lateral, self.merge, strict=True):
            x = merge(torch.cat((resize_bilinear(x, fine.shape[-2:], self.corner_aligned), lateral(fine)), dim=1))
        return self.head(x)


def init_classifier(conv: nn.Module) -> None:
    trunc_normal_tf_(conv.weight, std=.01)
    nn.init.zeros_(conv.bias)
