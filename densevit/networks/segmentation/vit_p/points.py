"""Points that stand for masks in ViT-P (arXiv:2505.19795): where a mask is largest, or drawn from annotations.

A point is (y, x), from -1 to 1 over the whole image.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import masks_to_boxes

from ..class_weights import per_weight, weights_of_classes
from ..mask_types import MaskTarget

if TYPE_CHECKING:
    from .network import PointProposals

Annotation = Literal['mask', 'box']
_UNLABELLED = -100


class DrawnPoints(NamedTuple):
    """P points of an image.

    Attributes:
        points: (P, 2).
        labels: Class ids, (P,), int64.
    """
    points: Tensor
    labels: Tensor


def peak_points(masks: Tensor) -> Tensor:
    """Centres (B, Q, 2) of the cells where mask logits (B, Q, h, w) are largest."""
    width = masks.shape[-1]
    index = masks.flatten(2).argmax(-1)
    return _place(torch.stack((index // width, index % width), -1) + .5, masks)


def draw_points(target: MaskTarget, num_points: int, annotation: Annotation = 'mask') -> DrawnPoints:
    """Labelled points of an image; at random and unlabelled where it has no segment.

    Args:
        target: Segments of the image.
        num_points: P.
        annotation: ``'mask'`` draws a class of those in the image, whatever their sizes, and one of its pixels;
            ``'box'`` draws a segment and a place in its bounding box.
    """
    device = target.masks.device
    filled = target.masks.flatten(1).any(1)
    if not filled.any():
        points = 2. * torch.rand(num_points, 2, device=device) - 1.
        return DrawnPoints(points, torch.full((num_points, ), _UNLABELLED, device=device))
    target = MaskTarget(target.labels[filled], target.masks[filled].bool())
    return (_in_masks if annotation == 'mask' else _in_boxes)(target, num_points)


def _in_masks(target: MaskTarget, num_points: int) -> DrawnPoints:
    segments, pixels = target.masks.flatten(1).nonzero(as_tuple=True)
    labels, order = target.labels[segments].sort()
    classes, counts = labels.unique_consecutive(return_counts=True)
    drawn = torch.randint(len(classes), (num_points, ), device=labels.device)
    starts = counts.cumsum(0) - counts
    share = torch.rand(num_points, device=labels.device, dtype=torch.float32 if labels.is_mps else torch.float64)
    nth = (share * counts[drawn]).long().minimum(counts[drawn] - 1)
    pixel = pixels[order[starts[drawn] + nth]]
    width = target.masks.shape[-1]
    return DrawnPoints(_place(torch.stack((pixel // width, pixel % width), -1) + .5, target.masks), classes[drawn])


def _in_boxes(target: MaskTarget, num_points: int) -> DrawnPoints:
    boxes = masks_to_boxes(target.masks)  # (n, 4): x and y of the first pixel, then of the last
    drawn = torch.randint(len(boxes), (num_points, ), device=boxes.device)
    first, last = boxes[drawn].split(2, dim=1)
    inside = first + torch.rand(num_points, 2, device=boxes.device) * (last + 1. - first)
    return DrawnPoints(_place(inside.flip(1), target.masks), target.labels[drawn])


def _place(cells: Tensor, masks: Tensor) -> Tensor:
    """(..., 2) rows and columns as numbers from -1 to 1."""
    return 2. * cells / cells.new_tensor(masks.shape[-2:]) - 1.


class PointClassificationLoss(nn.Module):
    """Cross-entropy of points drawn from the annotations of each image.

    Coarse masks and boxes are enough for it: a point only has to bear the right label most of the time.

    Args:
        num_classes: C.
        annotation: See :func:`draw_points`.
        class_weights: C weights of the classes, normalised as PyTorch does; there is no "no object".

    Raises:
        ValueError: An unknown ``annotation``; class weights that are not C numbers.
    """

    def __init__(
        self,
        num_classes: int,
        annotation: Annotation = 'mask',
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        weight = torch.ones(num_classes) if class_weights is None else weights_of_classes(
            class_weights, num_classes, 'class_weights', no_object=False)
        self.register_buffer('class_weights', weight, persistent=False)
        if annotation not in ('mask', 'box'):
            raise ValueError(f"criterion.annotation='{annotation}': choose 'mask' or 'box'")
        self.num_classes, self.annotation = num_classes, annotation

    def forward(self, predictions: Sequence[PointProposals], targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        """``loss_cls`` of what :class:`densevit.networks.segmentation.ViTP` gives in train mode.

        Args:
            predictions: The last one classifies points and tells how many to draw for each image.
            targets: One for each image.
        """
        num_points = predictions[-1].num_points
        drawn = [draw_points(target, num_points, self.annotation) for target in targets]
        points, labels = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        logits = predictions[-1].classify(points)  # (B, P, C)
        with torch.autocast(logits.device.type, enabled=False):
            total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), self.class_weights,
                                    reduction='sum', ignore_index=_UNLABELLED)
        return dict(loss_cls=per_weight(total, self.class_weights[labels[labels != _UNLABELLED]].sum()))
