"""SegFormer's decoder of linear layers alone (arXiv:2105.15203, section 3.2)."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import SyncBatchNorm
from .networks import PixelNetwork, at_finest


class SegFormerNet(PixelNetwork):
    """Each map is brought to one width, all to the finest size, fused at each pixel and classified (equation 4).

    Args:
        backbone: Gives maps of any strides: a pyramid, or levels of a plain ViT.
        num_classes: C.
        width: Channels of each map and of the fused one; the paper has 256 for B0 and B1, 768 for B2 to B5.
        dropout: Share of the fused channels that is left out in training.
    """
    class_parts = ('classifier', )

    def __init__(self, backbone: Backbone, num_classes: int, width: int = 256, dropout: float = .1) -> None:
        super().__init__(backbone, num_classes)
        self.project = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in backbone.out_channels)
        self.fuse = nn.Conv2d(width * len(self.project), width, 1, bias=False)
        self.norm = SyncBatchNorm(width)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [project(x) for project, x in zip(self.project, self.backbone(images), strict=True)]
        maps = at_finest(maps, self.backbone.strides)
        fused = self.norm(self.fuse(torch.cat(maps[::-1], 1))).relu()  # coarsest first, as in all weights there are
        return [self.classifier(self.dropout(fused))]
