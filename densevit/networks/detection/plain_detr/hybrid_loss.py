"""The loss of Plain DETR (arXiv:2308.01904): sets that are matched one-to-one and one-to-many (arXiv:2207.13080)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..set_loss import BoxSetLoss, BoxTarget, Pairs

_LEAST_SIZE = .1  # pixels: added to the sides of references, which may be clipped to nothing; the least of an object


class RefinedBoxes(NamedTuple):
    """What a layer of Plain DETR says, and what it said it of.

    Attributes:
        logits: (B, 1, Q, C).
        boxes: (B, 1, Q, 4): centre, width and height in [0, 1] over the padded images.
        deltas: What the layer predicts of its references, (B, 1, Q, 4); see
            :func:`densevit.layers.boxes.refine_boxes`.
        references: Centre, width and height in pixels, (B, 1, Q, 4).
        limits: Width, height, width and height of the padded images in pixels, (4,).
        role: Which objects the queries are taught.
        masks: None.
    """
    logits: Tensor
    boxes: Tensor
    deltas: Tensor
    references: Tensor
    limits: Tensor
    role: Literal['cells', 'many', 'one'] = 'one'
    masks: None = None


class HybridSetLoss(BoxSetLoss):
    """Focal loss of all queries; L1 loss of re-parameterised boxes and GIoU loss of the matched ones.

    Queries of the one-to-one branch are matched with the objects, those of the one-to-many branch with
    ``num_repeats`` copies of each. Cells that propose boxes learn whether they are an object: class 0.

    Args:
        num_classes: The number of classes C.
        class_weight, box_weight, giou_weight: Weights of the three losses.
        class_cost, box_cost, giou_cost: Weights of the three costs of a match.
        gamma: Power of the focal loss.
        focal_alpha: The weight of its positive part; the negative part has the rest.
        num_repeats: k, the queries of the one-to-many branch that learn the same object.
        many_weight: The weight of that branch.
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 2.,
        box_weight: float = 1.,
        giou_weight: float = 2.,
        class_cost: float = 2.,
        box_cost: float = 1.,
        giou_cost: float = 2.,
        gamma: float = 2.,
        focal_alpha: float = .25,
        num_repeats: int = 6,
        many_weight: float = 1.,
    ) -> None:
        super().__init__(num_classes, class_weight, box_weight, giou_weight, class_cost, box_cost, giou_cost,
                         gamma=gamma, focal_alpha=focal_alpha)
        self.num_repeats, self.many_weight = num_repeats, many_weight

    def forward(self, predictions: Sequence[RefinedBoxes], targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        """Weighted losses ``loss_cls``, ``loss_bbox``, ``loss_iou``, of earlier layers as ``d0.loss_cls``.

        Before these names stands ``many.`` for the one-to-many branch and ``cells.`` for the proposals.

        Args:
            predictions: The network's, in any order of their roles; of each role from first to last.
            targets: One for each image.
        """
        repeat = self.num_repeats
        taught = dict(
            one=targets,
            many=[BoxTarget(target.labels.repeat(repeat), target.boxes.repeat(repeat, 1)) for target in targets],
            cells=[BoxTarget(torch.zeros_like(target.labels), target.boxes) for target in targets])
        losses = {}
        for role, objects in taught.items():
            if own := [prediction for prediction in predictions if prediction.role == role]:
                weight, prefix = self.many_weight if role == 'many' else 1., '' if role == 'one' else f'{role}.'
                losses.update({prefix + name: weight * loss for name, loss in super().forward(own, objects).items()})
        return losses

    def sums(self, prediction: RefinedBoxes, pairs: Pairs, targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        losses = super().sums(prediction, pairs, targets)
        wanted = deltas_to(prediction.references[pairs.queries], pairs.boxes * prediction.limits)
        distance = (prediction.deltas[pairs.queries].float() - wanted).abs().sum()
        return {**losses, 'loss_bbox': self.box_weight * distance}

    def class_loss(self, logits: Tensor, pairs: Pairs, iou: Tensor) -> Tensor:
        """The focal loss (arXiv:1708.02002, eq. 5), summed; the IoU has no part in it."""
        labels = torch.zeros_like(logits).index_put((*pairs.queries, pairs.labels), logits.new_ones(()))
        probabilities = logits.sigmoid()
        missed = torch.where(labels.bool(), 1. - probabilities, probabilities)
        weights = torch.where(labels.bool(), self.focal_alpha, 1. - self.focal_alpha)
        return (weights * missed**self.gamma * F.binary_cross_entropy_with_logits(logits, labels, reduction='none')
                ).sum()

    def box_distances(self, prediction: RefinedBoxes, image: int, target: BoxTarget) -> Tensor:
        references = prediction.references[image].unsqueeze(-2)
        wanted = deltas_to(references, target.boxes.float() * prediction.limits)
        return (prediction.deltas[image].float().unsqueeze(-2) - wanted).abs().sum(-1)


def deltas_to(references: Tensor, boxes: Tensor) -> Tensor:
    """The differences that refine references to boxes, both (..., 4) in pixels, the inverse of ``refine_boxes``."""
    (centres, sizes), (others, other_sizes) = references.split(2, dim=-1), boxes.split(2, dim=-1)
    sizes = sizes + _LEAST_SIZE
    return torch.cat(((others - centres) / sizes, (other_sizes.clamp(min=_LEAST_SIZE) / sizes).log()), dim=-1)
