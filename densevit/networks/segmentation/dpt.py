"""DPT for semantic segmentation: Vision Transformers for Dense Prediction (arXiv:2103.13413, section 4.2)."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import SyncBatchNorm, resize_bilinear
from ..dpt_decoder import NUM_LEVELS, DPTDecoder, Readout, read_levels, readout_of
from .base import PixelNetwork


class DPTNet(PixelNetwork):
    """Four levels of a backbone, fused from coarse to fine, and classified at a quarter of the finest stride.

    A plain ViT's levels are reassembled to four strides, with its class token; so is any backbone of four maps of one
    stride, without. The levels of a pyramid are fused at their own strides.

    The authors train with an auxiliary loss of weight 0.2: ``criterion=dict(aux_weight=.2)``.

    Args:
        backbone: Gives four maps: ``out_indices`` of a plain ViT, or a pyramid. The authors read blocks that are not
            normed: ``norm_out=False``.
        num_classes: C.
        channels, width, norm: See :class:`densevit.networks.dpt_decoder.DPTDecoder`.
        readout: What becomes of the class token; None projects it where there is one.
        dropout: Rate before both classifiers.
        aux_level: Which fused map is classified for an auxiliary loss in train mode, coarsest first; the paper's is the
            last but one. None for no such loss.

    Raises:
        ValueError: The backbone does not give four maps, or ``readout`` asks for a class token that it does not have.
    """
    class_parts = ('classify.4', 'auxiliary.4')

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        channels: Sequence[int] | None = (96, 192, 384, 768),
        width: int = 256,
        readout: Readout | None = None,
        norm: bool = True,
        dropout: float = .1,
        aux_level: int | None = -2,
    ) -> None:
        super().__init__(backbone, num_classes)
        if aux_level is not None and not -NUM_LEVELS <= aux_level < NUM_LEVELS:
            raise ValueError(f'aux_level={aux_level}: there are {NUM_LEVELS} fused maps; choose -4 to 3, or None')
        self.decoder = DPTDecoder(backbone.out_channels, backbone.strides, channels, width,
                                  readout_of(backbone, readout), norm)
        self.classify = _classifier(width, num_classes, dropout)
        self.aux_level = aux_level
        self.auxiliary = None if aux_level is None else _classifier(width, num_classes, dropout)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Class logits, four times as fine as the finest level; in train mode auxiliary ones before them."""
        fused = self.decoder(*read_levels(self.backbone, self.decoder.readout, images))
        logits = self.classify(fused[-1])
        size = tuple(2 * side for side in logits.shape[-2:])
        answer = resize_bilinear(logits, size, align_corners=True)
        if self.auxiliary is None or not self.training:
            return [answer]
        return [self.auxiliary(fused[self.aux_level]), answer]


def _classifier(width: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), SyncBatchNorm(width), nn.ReLU(), nn.Dropout(dropout),
        nn.Conv2d(width, num_classes, 1))
