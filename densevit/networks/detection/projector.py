"""LW-DETR's projector (arXiv:2406.03459, section 3.1): several maps of a plain ViT become one or more levels."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn

Norm = Literal['batch', 'layer']
_NORMS = dict(batch=nn.BatchNorm2d, layer=partial(LayerNorm2d, eps=1e-6))


class ConvNormAct(nn.Sequential):
    """A convolution without bias, a norm and an activation.

    Args:
        in_channels, out_channels: Widths.
        kernel_size: Side of the kernel, odd.
        stride: 1, or 2 to halve the resolution.
        norm: ``'batch'``, or ``'layer'`` over the channels of each pixel.
        activation: The class of the activation.
        groups: Groups of channels that do not see each other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        norm: Norm = 'batch',
        activation: type[nn.Module] = nn.SiLU,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
        self.norm = _NORMS[norm](out_channels)
        self.act = activation()


class C2f(nn.Module):
    """The cross-stage block of YOLOv8: half of the channels pass through pairs of 3x3 convolutions, all are joined.

    Args:
        in_channels, out_channels: Widths.
        num_blocks: Pairs of convolutions, one behind the other.
        norm: See :class:`ConvNormAct`.
    """

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, norm: Norm) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.split = ConvNormAct(in_channels, 2 * hidden, norm=norm)
        self.blocks = nn.ModuleList(
            nn.Sequential(ConvNormAct(hidden, hidden, 3, norm=norm), ConvNormAct(hidden, hidden, 3, norm=norm))
            for _ in range(num_blocks))
        self.join = ConvNormAct((2 + num_blocks) * hidden, out_channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        parts = list(self.split(x).chunk(2, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.join(torch.cat(parts, dim=1))


class LevelProjector(nn.Module):
    """One level: each map is resampled, and a C2f block and a norm over channels join them.

    Args:
        in_channels: Width of each map.
        scale: The resolution of the level over that of the maps: 2, 1 or 0.5.
        dim: Width D of the level.
        num_blocks: Blocks of the C2f.
        norm: See :class:`ConvNormAct`.
    """

    def __init__(self, in_channels: Sequence[int], scale: float, dim: int, num_blocks: int, norm: Norm) -> None:
        super().__init__()
        self.resample = nn.ModuleList(_resample(width, scale, norm) for width in in_channels)
        widths = [_resampled_width(width, scale) for width in in_channels]
        self.fuse = C2f(sum(widths), dim, num_blocks, norm)
        self.norm = LayerNorm2d(dim, eps=1e-6)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C_i, h, w) to (B, D, h', w')."""
        resampled = [layer(x) for layer, x in zip(self.resample, maps, strict=True)]
        return self.norm(self.fuse(torch.cat(resampled, dim=1)))


def _resampled_width(width: int, scale: float) -> int:
    if scale == 2.:
        return width // 4 if width > 512 else width // 2
    return width


def _resample(width: int, scale: float, norm: Norm) -> nn.Sequential:
    if scale == 2.:
        if width > 512:  # as in LW-DETR's ViT-B: the transposed convolution would be as large as a block
            return nn.Sequential(ConvNormAct(width, width // 2, norm=norm, activation=nn.ReLU),
                                 nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2))
        return nn.Sequential(nn.ConvTranspose2d(width, width // 2, 2, stride=2))
    if scale == .5:
        return nn.Sequential(ConvNormAct(width, width, 3, stride=2, norm=norm, activation=nn.ReLU))
    if scale == 1.:
        return nn.Sequential()
    raise ValueError(f'head.scales has {scale}: the levels of the projector are 2, 1 or 0.5 times as fine as the maps '
                     'of the backbone')
