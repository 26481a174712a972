"""What the segmentation networks share: how a model pads for them, reads them and finds their loss."""
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import joined_processes
from .mask_loss import MaskClassificationLoss
from .mask_types import MaskPrediction
from .pixel_loss import PixelClassificationLoss
from .postprocess import PanopticReader


class SegmentationNetwork(nn.Module):
    """A network around a backbone.

    Attributes:
        backbone: Gives tokens or maps of normalised (B, 3, H, W) images.
        num_classes: C.
        size_divisor: Images are padded to whole multiples of it, so that what is predicted covers all of the image.
        loss_class: Built with ``num_classes`` and the options of ``criterion=dict(...)``; called with what the network
            returned and the targets.
        class_parts: Names of parts, anywhere in the network, whose sizes follow from the number of classes.
    """
    loss_class: ClassVar[type[nn.Module]]
    class_parts: ClassVar[tuple[str, ...]] = ('class_head', )

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.num_classes = backbone, num_classes

    @property
    def size_divisor(self) -> int:
        return max(self.backbone.strides)

    def is_of_classes(self, name: str) -> bool:
        """Whether a parameter belongs to its ``class_parts``, which fine-tuning on other classes learns anew."""
        return any(f'.{part}.' in f'.{name}' for part in self.class_parts)


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


def require_pyramid(backbone: Backbone, strides: Sequence[int], network: str) -> None:
    """See that a backbone's maps have the strides that a network reads.

    Raises:
        ValueError: They have not; the message names an adapter that makes them.
    """
    if tuple(backbone.strides) != tuple(strides):
        raise ValueError(
            f'{network} reads maps of strides {tuple(strides)}, but {type(backbone).__name__} gives '
            f'{tuple(backbone.strides)}: choose its out_indices, or put a plain ViT into '
            'densevit.SimpleFeaturePyramid, densevit.ViTAdapter or densevit.ViTCoMer')


def require_images(norm: nn.Module, num_images: int, network: str) -> None:
    """See that a batch norm which gets one value of each image has several in a training step.

    Raises:
        ValueError: There is one image in all the processes whose values the norm joins.
    """
    if norm.training and num_images * joined_processes(norm) == 1:
        raise ValueError(f'{network} normalises over the images of a training step and needs two or more: raise '
                         "train_dataloader.batch_size, or train in several processes with sync_bn='torch'")


def at_finest(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Tensor]:
    """Maps (B, C_i, h_i, w_i) of these strides, all at the size of the finest."""
    size = maps[strides.index(min(strides))].shape[-2:]
    return [x if x.shape[-2:] == size else F.interpolate(x, size, mode='bilinear') for x in maps]
