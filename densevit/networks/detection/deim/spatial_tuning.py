"""From a backbone's maps to levels of one width: DEIMv2's spatial tuning adapter (arXiv:2509.20787, section 3.1)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ....layers import resize_bilinear
from ..projector import ConvNormAct

NUM_LEVELS = 3  # of the side pyramid: strides 8, 16 and 32


class SpatialTuningAdapter(nn.Module):
    """Maps of a plain ViT are resized to three levels and joined with a convolutional pyramid of the image.

    Args:
        in_channels: Width of each map: three, finest level first, or one for all levels.
        side_dim: Width of the pyramid's stem; levels have 2, 4 and 4 times as much.
        dim: Width D of the levels.

    Raises:
        ValueError: There are neither one nor three maps.
    """

    def __init__(self, in_channels: Sequence[int], side_dim: int, dim: int) -> None:
        super().__init__()
        if len(in_channels) not in (1, NUM_LEVELS):
            raise ValueError(f'DEIM makes {NUM_LEVELS} levels of a plain ViT, one of each map, and the backbone gives '
                             f'{len(in_channels)}: set backbone.out_indices to {NUM_LEVELS} blocks, or to one')
        in_channels = (*in_channels, *in_channels[:1] * (NUM_LEVELS - len(in_channels)))
        self.stem = nn.Sequential(
            ConvNormAct(3, side_dim, 3, stride=2, activation=nn.GELU), nn.MaxPool2d(3, stride=2, padding=1))
        widths = (side_dim, 2 * side_dim, 4 * side_dim, 4 * side_dim)
        self.side = nn.ModuleList(ConvNormAct(a, b, 3, stride=2, activation=nn.Identity)
                                  for a, b in zip(widths, widths[1:], strict=False))
        self.act = nn.GELU()
        self.fuse = nn.ModuleList(ConvNormAct(width + side, dim, activation=nn.Identity)
                                  for width, side in zip(in_channels, widths[1:], strict=True))

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """(B, 3, H, W) images and maps (B, C_i, h, w) to levels (B, D, ceil(H / s), ceil(W / s)), s = 8, 16, 32."""
        levels, x = [], self.stem(images)
        maps = [*maps] * (NUM_LEVELS // len(maps))
        for index, (layer, fuse, seen) in enumerate(zip(self.side, self.fuse, maps, strict=True)):
            x = layer(self.act(x) if index else x)
            levels.append(fuse(torch.cat((resize_bilinear(seen, x.shape[-2:]), x), dim=1)))
        return levels


class LevelProjections(nn.Module):
    """Maps of a hierarchical backbone at one width.

    Args:
        in_channels: Width of each map.
        dim: Width D of the levels.
    """

    def __init__(self, in_channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.fuse = nn.ModuleList(ConvNormAct(width, dim, activation=nn.Identity) for width in in_channels)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C_i, h_i, w_i) to levels (B, D, h_i, w_i); the images are those that they are of."""
        return [fuse(x) for fuse, x in zip(self.fuse, maps, strict=True)]
