"""The pixel decoder of PEM (arXiv:2402.19422, section 3.3): a pyramid of deformable convolutions."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from ....layers import SyncBatchNorm
from ...pyramids import require_images
from ..pixel_decoder import PixelFeatures


class ProjectedMap(nn.Sequential):
    """1x1 convolution, batch norm and ReLU: (B, C, h, w) to (B, D, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 1, bias=False), SyncBatchNorm(out_channels), nn.ReLU())
        nn.init.kaiming_normal_(self[0].weight, a=1.)


class ContextModulation(nn.Module):
    """Context-based self-modulation: x + x * w, where w follows from the mean of each channel over the map.

    The weights pass a sigmoid twice, as in the authors' code, and so lie between .5 and .74.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(dim, dim // 2, 1, bias=False), SyncBatchNorm(dim // 2), nn.ReLU(),
            nn.Conv2d(dim // 2, dim, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Modulate (B, D, h, w)."""
        return x + x * self.weigh(x.mean((2, 3), keepdim=True)).sigmoid().sigmoid()


class ModulatedDeformConv(nn.Module):
    """3x3 deformable convolution whose samples are weighted (arXiv:1811.11168, eq. 1): (B, D, h, w) to the same.

    It samples a regular grid with weights of one half until offsets are learned.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.offset = nn.Conv2d(dim, 27, 3, padding=1)  # y and x of 9 samples, and their weights
        self.weight = nn.Parameter(torch.empty(dim, dim, 3, 3))
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        nn.init.kaiming_normal_(self.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: Tensor) -> Tensor:
        offset, weights = self.offset(x).split((18, 9), dim=1)
        with torch.autocast(x.device.type, enabled=False):  # places in half precision would be off by pixels
            x, offset, weights = (tensor.to(self.weight.dtype) for tensor in (x, offset, weights.sigmoid()))
            return deform_conv2d(x, offset, self.weight, padding=1, mask=weights)


class DeformableUpscaling(nn.Module):
    """A level of the pyramid: a deformable convolution, then what the next finer level adds to its own map."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = ModulatedDeformConv(dim)
        self.norm = SyncBatchNorm(dim)
        self.up = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1, bias=False)
        self.up_norm = SyncBatchNorm(dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Refine (B, D, h, w): gives the refined map of the same size and one of (2h, 2w)."""
        x = self.norm(self.conv(x)).relu()
        return x, self.up_norm(self.up(x)).relu()


class PEMPixelDecoder(nn.Module):
    """Maps of strides 4, 8, 16 and 32, from coarse to fine: modulated by their context, refined and upscaled.

    Args:
        in_channels: Channels of the maps of strides 4, 8, 16 and 32.
        dim: D, width of the pyramid.
        mask_dim: D_m.
    """

    def __init__(self, in_channels: Sequence[int], dim: int, mask_dim: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(ProjectedMap(channels, dim) for channels in in_channels)
        self.context = ProjectedMap(in_channels[-1], dim)
        self.modulate = nn.ModuleList(ContextModulation(dim) for _ in in_channels)
        self.refine = nn.ModuleList(DeformableUpscaling(dim) for _ in in_channels[1:])
        self.mask_features = ProjectedMap(dim, mask_dim)

    def forward(self, maps: Sequence[Tensor]) -> PixelFeatures:
        """Maps of strides 4 to 32, finest first, to the features that queries read.

        Raises:
            ValueError: A training step has a single image, over which means of maps cannot be normalised.
        """
        require_images(self.context[1], maps[0].shape[0], 'PEM')
        coming = self.context(maps[-1].mean((2, 3), keepdim=True))
        levels = []
        for index in range(len(maps) - 1, 0, -1):
            x, coming = self.refine[index - 1](self._join(index, maps[index], coming))
            levels.append(x)
        return PixelFeatures(levels, self.mask_features(self._join(0, maps[0], coming)))

    def _join(self, index: int, x: Tensor, coming: Tensor) -> Tensor:
        """The map of a level and what comes from the coarser one, which may be a pixel larger."""
        return self.modulate[index](self.project[index](x)) + coming[..., :x.shape[-2], :x.shape[-1]]
