"""DPT for depth: Vision Transformers for Dense Prediction (arXiv:2103.13413, section 4.1) and what grew out of it.

The published forms differ in the backbone, in the readout of the class token and in the end of the head::

    DPT, MiDaS 3.1 (2307.14460)       ViT, hybrid,   project    relu                relative disparity
                                      BEiT
    Depth Anything V1, V2             DINOv2         ignore     relu / sigmoid      relative disparity / metres
      (2401.10891, 2406.09414)
    Depth Anything 3 (2511.10647)     DINOv2         ignore     exp, and the sky    relative depth / metres at a focal
    DINOv2's DPT (2304.07193)         DINOv2         project    relu                metres
    CHMv2 with DINOv3 (2508.10104)    DINOv3         project    bins                metres (of trees' heights)
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import resize_bilinear
from ..dpt_decoder import DPTDecoder, Readout, Unit, read_levels, readout_of
from .base import DepthNetwork
from .outputs import Activation, build_output
from .prediction import DepthKind, DepthPrediction


class DPTDepth(DepthNetwork):
    """Four levels of a backbone, fused from coarse to fine, and convolved to a depth for each pixel.

    A plain ViT's levels are reassembled to four strides; the levels of a pyramid are fused at their own strides.

    Args:
        backbone: Gives four maps: ``out_indices`` of a plain ViT, or a pyramid. Depth Anything and CHMv2 read normed
            blocks; DPT, MiDaS and DINOv2 read blocks that are not: ``norm_out=False``. DPT-Hybrid reads two maps of a
            stem and two blocks: ``stem_out=(1, 2), out_indices=(8, 11)``.
        channels, width, norm, unit_bias, doubles, unit: See :class:`densevit.networks.dpt_decoder.DPTDecoder`. Where
            fused maps are doubled, the depth has twice the size of the last of them, and that of the padded image
            otherwise.
        readout: What becomes of the class token; None projects it where there is one. Depth Anything: ``'ignore'``.
        project: Whether a convolution with a relu stands before the head, as in DINOv2.
        hidden_dim: Channels before the last convolution.
        kind: What the depth is, see :class:`DepthNetwork`.
        activation: What makes a depth of one channel, see :class:`densevit.networks.depth.outputs.DirectDepth`.
        bins: Depth is a mixture of bins in its place: ``dict(num_bins=256, spacing='linear', norm='linear')``, see
            :class:`densevit.networks.depth.outputs.BinnedDepth`.
        min_depth, max_depth: The range of the output, in metres where ``kind='metric'``.
        sky: Whether a second head tells the sky.
        canonical_focal, sky_threshold: See :class:`DepthNetwork`; Depth Anything 3 has 300 and 0.3.

    Raises:
        ValueError: The backbone does not give four maps, or options do not go together.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: Sequence[int] | None = (96, 192, 384, 768),
        width: int = 256,
        readout: Readout | None = None,
        norm: bool = False,
        unit_bias: bool | None = None,
        doubles: bool = False,
        project: bool = False,
        hidden_dim: int = 32,
        kind: DepthKind = 'metric',
        activation: Activation = 'relu',
        bins: dict[str, Any] | None = None,
        min_depth: float = 0.,
        max_depth: float | None = None,
        sky: bool = False,
        canonical_focal: float | None = None,
        sky_threshold: float = 0.,
        unit: Unit = 'residual',
    ) -> None:
        super().__init__(backbone, kind, min_depth, max_depth, canonical_focal, sky_threshold)
        self.decoder = DPTDecoder(backbone.out_channels, backbone.strides, channels, width,
                                  readout_of(backbone, readout), norm, unit_bias, doubles, unit)
        self.project = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()) if project else nn.Identity()
        self.reduce = nn.Conv2d(width, width // 2, 3, padding=1)
        self.output = build_output(activation, bins, min_depth, max_depth)
        self.predict = _head(width // 2, hidden_dim, self.output.num_channels)
        self.sky = _head(width // 2, hidden_dim, 1) if sky else None

    def forward(self, images: Tensor) -> DepthPrediction:
        """Depth (B, h, w) of (B, 3, H, W): at the padded image's size, or at twice that of the last fused map."""
        maps, class_tokens = read_levels(self.backbone, self.decoder.readout, images)
        x = self.reduce(self.project(self.decoder(maps, class_tokens)[-1]))
        size = ([2 * side for side in x.shape[-2:]] if self.decoder.doubles else
                [self.backbone.strides[0] * side for side in maps[0].shape[-2:]])
        x = resize_bilinear(x, size, align_corners=True)
        sky = None if self.sky is None else self.sky(x).float().squeeze(1)
        return self.answer(self.output(self.predict(x)), sky)


def _head(channels: int, hidden_dim: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden_dim, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden_dim, out_channels, 1))
