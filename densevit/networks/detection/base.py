"""Networks that find objects: boxes with class logits, taught and read as a set."""
from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor

from ...backbones.contract import Backbone
from ..base import Network
from .set_loss import BoxSetLoss


class MaskFactors(NamedTuple):
    """Mask logits as products, which are made for those queries alone that are read or learned.

    Attributes:
        queries: (B, G, Q, E).
        features: (B, E, h, w), over the padded images.
    """
    queries: Tensor
    features: Tensor

    def logits(self, image: int, queries: Tensor) -> Tensor:
        """(n, h, w) of queries (n, E) of an image."""
        return (queries @ self.features[image].flatten(1)).unflatten(1, self.features.shape[-2:])


class BoxPrediction(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: (B, G, Q, C): of each class, by itself; there is no class for "no object". The G groups of Q queries
            each predict all objects; a network in eval mode has one.
        boxes: (B, G, Q, 4): centre, width and height in [0, 1] over the padded images.
        masks: Masks of the same queries; None of networks that give boxes alone.
    """
    logits: Tensor
    boxes: Tensor
    masks: MaskFactors | None = None


class DetectionNetwork(Network):
    """(B, 3, H, W) images to boxes with class logits.

    ``forward`` gives a list whose last entry is the network's answer; others, in train mode, are auxiliary.

    Args:
        backbone: Gives tokens or maps of normalised (B, 3, H, W) images.
        num_classes: The number of classes C.

    Attributes:
        num_queries: The most objects that the network finds in one image.
        has_masks: Whether it also learns and predicts a mask of each.
        takes_targets: Whether ``forward`` takes the targets of a training step beside the images, from which it makes
            queries of its own (contrastive denoising).
    """
    loss_class = BoxSetLoss
    class_parts = ('class_head', )
    has_masks: ClassVar[bool] = False
    takes_targets: ClassVar[bool] = False
    num_queries: int

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__(backbone)
        self.num_classes = num_classes

    def forward(self, images: Tensor) -> list[BoxPrediction]:
        raise NotImplementedError
