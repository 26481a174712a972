"""Restoration with any backbone: what a trained trunk knows of a picture, as an addition to its pixels.

DPT's decoder (arXiv:2103.13413, section 3.1) brings four levels of a plain ViT or a pyramid to half the size of the
image. They are enlarged, joined with shallow features of the image itself, which such trunks do not keep, and become
what is added to the image or, for super-resolution, to its interpolation. There is no paper for this head: it begins as
interpolation.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import crop, resize_bilinear
from ..dpt_decoder import DPTDecoder, Readout, read_levels, readout_of
from .base import RestorationNetwork, mirror_to_multiple
from .frame import conv3, shuffles
from .stages import Stage


class DPTRestoration(RestorationNetwork):
    """A backbone of four maps, DPT's decoder and a few convolutions at the full size.

    Args:
        backbone: Gives four maps of RGB images: ``out_indices`` of a plain ViT, or a pyramid.
        scale: The factor of the size.
        channels, width: See :class:`densevit.networks.dpt_decoder.DPTDecoder`.
        readout: What becomes of the class token; None projects it where there is one.
        num_features: Channels at the full size, where most of the time goes.
        depth: Residual blocks of two convolutions there.
        image_mean, image_std: What the backbone's images are normalised with, of values in [0, 1]: ImageNet's for
            DINOv2, Swin and most others.

    Raises:
        ValueError: The backbone does not give four maps, or the scale is neither a power of 2 nor 3.
    """

    def __init__(
        self,
        backbone: Backbone,
        scale: int = 1,
        channels: Sequence[int] | None = (96, 192, 384, 768),
        width: int = 128,
        readout: Readout | None = None,
        num_features: int = 48,
        depth: int = 2,
        image_mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        image_std: Sequence[float] = IMAGENET_DEFAULT_STD,
    ) -> None:
        super().__init__(scale, 3, backbone)
        self.register_buffer('image_mean', torch.tensor(image_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('image_std', torch.tensor(image_std).view(1, 3, 1, 1), persistent=False)
        self.decoder = DPTDecoder(backbone.out_channels, backbone.strides, channels, width,
                                  readout_of(backbone, readout))
        self.narrow = nn.Conv2d(width, num_features, 1)
        self.conv_first = conv3(3, num_features)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv3(num_features, num_features), nn.GELU(), conv3(num_features, num_features))
            for _ in range(depth))
        self.upsample = shuffles(scale, num_features)
        self.conv_last = conv3(num_features, 3)
        nn.init.zeros_(self.conv_last.weight)
        nn.init.zeros_(self.conv_last.bias)

    def feature_stages(self) -> list[Stage]:
        """The decoder's answer, and what the blocks at the full size add to it."""
        return [Stage(module, self.conv_first.out_channels) for module in (self.narrow, *self.blocks)]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 3, scale * H, scale * W)."""
        size = images.shape[-2:]
        padded = mirror_to_multiple(images, max(self.backbone.strides))
        normed = (padded - self.image_mean) / self.image_std
        fused = self.decoder(*read_levels(self.backbone, self.decoder.readout, normed))[-1]
        x = self.conv_first(padded - self.mean) + resize_bilinear(self.narrow(fused), padded.shape[-2:])
        for block in self.blocks:
            x = x + block(x)
        enlarged = padded if self.scale == 1 else F.interpolate(padded, scale_factor=self.scale, mode='bicubic')
        return crop(self.conv_last(self.upsample(x)) + enlarged, (size[0] * self.scale, size[1] * self.scale))
