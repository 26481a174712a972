"""SegFormer's decoder of linear layers alone (arXiv:2105.15203, section 3.2)."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import SyncBatchNorm
from ..pyramids import at_finest
from .base import PixelNetwork


class SegFormerNet(PixelNetwork):
    """Each map is brought to one width, all to the finest size, fused at each pixel and classified (equation 4).

    Args:
        backbone: Gives maps of any strides: a pyramid, or levels of a plain ViT.
        num_classes: C.
        width: Channels of each map and of the fused one; the paper has 256 for B0 and B1, 768 for B2 to B5.
        dropout: Share of the fused channels that is left out in training.
        norm_maps: Whether each projection is followed by batch norm and ReLU, as in OpenMMLab's head; the paper's are
            linear.
    """
    class_parts = ('classifier', )

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        width: int = 256,
        dropout: float = .1,
        norm_maps: bool = False,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.project = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=not norm_maps) for channels in backbone.out_channels)
        self.map_norms = nn.ModuleList(SyncBatchNorm(width) for _ in self.project if norm_maps)
        self.fuse = nn.Conv2d(width * len(self.project), width, 1, bias=False)
        self.norm = SyncBatchNorm(width)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [project(x) for project, x in zip(self.project, self.backbone(images), strict=True)]
        if self.map_norms:
            maps = [norm(x).relu() for norm, x in zip(self.map_norms, maps, strict=True)]
        maps = at_finest(maps, self.backbone.strides)
        fused = self.norm(self.fuse(torch.cat(maps[::-1], 1))).relu()  # coarsest first, as in all weights there are
        return [self.classifier(self.dropout(fused))]
