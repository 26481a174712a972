"""A linear classifier of patch features, as DINOv2 evaluates them (arXiv:2304.07193, section 7.4)."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import SyncBatchNorm
from ..pyramids import at_finest
from .base import PixelNetwork


class LinearNet(PixelNetwork):
    """Batch norm and one linear map on the concatenated maps of a backbone, at the finest of their strides.

    Args:
        backbone: Gives maps of any strides; coarser ones are resized.
        num_classes: C.
        norm: Whether maps are normalised over the batch first.
    """
    class_parts = ('classifier', )

    def __init__(self, backbone: Backbone, num_classes: int, norm: bool = True) -> None:
        super().__init__(backbone, num_classes)
        channels = sum(backbone.out_channels)
        self.norm = SyncBatchNorm(channels) if norm else nn.Identity()
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = at_finest(self.backbone(images), self.backbone.strides)
        return [self.classifier(self.norm(torch.cat(maps, 1)))]
