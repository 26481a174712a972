"""The two kinds of segmentation networks: by masks with classes, and by the classes of pixels."""
from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from ...backbones.contract import Backbone
from ..base import Network
from .mask_loss import MaskClassificationLoss
from .mask_types import MaskPrediction
from .pixel_loss import PixelClassificationLoss
from .postprocess import PanopticReader


class SegmentationNetwork(Network):
    """A network whose predictions are classes.

    Args:
        backbone: Gives tokens or maps of normalised (B, 3, H, W) images.
        num_classes: C.
    """
    class_parts = ('class_head', )

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone)
        self.num_classes = num_classes


class MaskNetwork(SegmentationNetwork):
    """(B, 3, H, W) images to mask proposals with class scores, taught and read as a set.

    ``forward`` gives a list from the first intermediate prediction to the network's answer.

    Attributes:
        panoptic_reader: Makes a panoptic map of the answer: a class like :class:`PanopticReader`.
    """
    loss_class = MaskClassificationLoss
    panoptic_reader: ClassVar[type] = PanopticReader

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        raise NotImplementedError

    def sigmoid_logits(self, masks: Tensor) -> Tensor:
        """Mask logits (B, Q, H, W), resized to where they are read, as logits whose sigmoid is the probability.

        Networks whose masks compete for pixels turn their softmax over queries into log odds here. Pixels are looked
        at one by one: rows of the masks may come alone.
        """
        return masks

    @property
    def masks_compete(self) -> bool:
        """Whether the probability of a mask depends on the other masks."""
        return type(self).sigmoid_logits is not MaskNetwork.sigmoid_logits


class PixelNetwork(SegmentationNetwork):
    """(B, 3, H, W) images to class logits of each pixel, (B, C, h, w) at any stride.

    ``forward`` gives a list whose last entry is the network's answer; others, in train mode, are auxiliary.
    """
    loss_class = PixelClassificationLoss

    def forward(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError
