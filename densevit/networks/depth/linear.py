"""Depth by one linear map of frozen features, as DINOv2 (arXiv:2304.07193, section 7.4) and DINOv3 evaluate them."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...backbones import PlainViT
from ...backbones.contract import Backbone
from ...layers import SyncBatchNorm, resize_bilinear
from ..pyramids import at_finest
from .base import DepthNetwork
from .outputs import Activation, build_output
from .prediction import DepthKind, DepthPrediction


class LinearDepth(DepthNetwork):
    """The concatenated maps of a backbone, with the class token beside each patch, to a depth in bins.

    DINOv2's heads read one or four blocks that are not normed (``norm_out=False``), have a class token and 256 linear
    bins, and are four times as fine as the patches. They were trained with the trunk frozen
    (``backbone=dict(frozen_stages=...)``), on NYU with depths of up to 10 m and on KITTI with up to 80 m.

    Args:
        backbone: Gives maps of any strides; coarser ones are resized.
        class_token: Whether the class token of each level is concatenated to its patches.
        norm: Whether maps are normalised over the batch first, as DINOv3 does.
        upsample: How much finer than the finest map the depth is. The linear map is made before it is upsampled, which
            gives the same as after it.
        kind: What the depth is, see :class:`DepthNetwork`.
        activation: What makes a depth of one channel, see :class:`densevit.networks.depth.outputs.DirectDepth`.
        bins: Options of :class:`densevit.networks.depth.outputs.BinnedDepth`; None for a depth of one channel.
        min_depth, max_depth: The range of the output, in metres where ``kind='metric'``.

    Raises:
        ValueError: The backbone has no class token, or options do not go together.
    """

    def __init__(
        self,
        backbone: Backbone,
        class_token: bool = True,
        norm: bool = False,
        upsample: int = 4,
        kind: DepthKind = 'metric',
        activation: Activation = 'relu',
        bins: dict[str, Any] | None = None,
        min_depth: float = 1e-3,
        max_depth: float | None = None,
    ) -> None:
        super().__init__(backbone, kind, min_depth, max_depth)
        if class_token and not (isinstance(backbone, PlainViT) and backbone.has_class_token):
            raise ValueError('class_token=True needs a plain ViT with a class token; set class_token=False')
        self.class_token, self.upsample = class_token, upsample
        channels = sum(backbone.out_channels) * (1 + class_token)
        self.norm = SyncBatchNorm(channels) if norm else nn.Identity()
        self.output = build_output(activation, bins, min_depth, max_depth)
        self.predict = nn.Conv2d(channels, self.output.num_channels, 1)

    def forward(self, images: Tensor) -> DepthPrediction:
        """Depth (B, h, w) of (B, 3, H, W), ``upsample`` times as fine as the finest map."""
        if self.class_token:
            levels = self.backbone.levels(images)
            maps = [_beside(tokens.feature_map(), tokens.x[:, 0]) for tokens in levels]
        else:
            maps = at_finest(self.backbone(images), self.backbone.strides)
        x = self.predict(self.norm(torch.cat(maps, 1)))
        x = resize_bilinear(x, [self.upsample * side for side in x.shape[-2:]])
        return self.answer(self.output(x))


def _beside(patches: Tensor, class_token: Tensor) -> Tensor:
    """A class token (B, D) beside each patch (B, D, h, w): (B, 2 D, h, w)."""
    return torch.cat((patches, class_token[:, :, None, None].expand_as(patches)), 1)
