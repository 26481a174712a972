"""The loss of LW-DETR (arXiv:2406.03459, section 3.2): boxes matched as a set, classes that know the IoU."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.boxes import box_overlap, to_corners
from ...layers.matching import hungarian_match

if TYPE_CHECKING:
    from .base import BoxPrediction


class BoxTarget(NamedTuple):
    """The objects of one image.

    Attributes:
        labels: Class ids, (n,), int64.
        boxes: (n, 4): centre, width and height in [0, 1] over the padded image.
        masks: (n, H, W) over the padded image, bool; None where boxes alone are learned.
    """
    labels: Tensor
    boxes: Tensor
    masks: Tensor | None = None


class Pairs(NamedTuple):
    """The M matched pairs of a batch, as indices.

    Attributes:
        queries: Image, group and query of each pair, (M,) each: they index a prediction. Images ascend.
        objects: The object of each pair, counted over the batch, (M,).
        labels: The class of its object, (M,).
        boxes: The box of its object, (M, 4).
    """
    queries: tuple[Tensor, Tensor, Tensor]
    objects: Tensor
    labels: Tensor
    boxes: Tensor


class BoxSetLoss(nn.Module):
    """IoU-aware class loss of all queries, L1 and GIoU losses of the matched ones.

    Every prediction, of the proposals and of each decoder layer, is matched and taught by itself, and so is every
    group of queries (Group DETR, arXiv:2207.13085); losses are per object and group. All is computed in single
    precision, for half-precision costs would decide matches by rounding.

    Args:
        num_classes: The number of classes C.
        class_weight, box_weight, giou_weight: Weights of the three losses.
        class_cost, box_cost, giou_cost: Weights of the three costs of a match: focal, L1 and GIoU.
        alpha: A matched query learns the score ``t = p^alpha * IoU^(1 - alpha)``, of its own probability p (eq. 4).
        gamma: What is not matched is weighted by p^gamma.
        focal_alpha: The weight of the positive part in the focal cost of a match.
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 1.,
        box_weight: float = 5.,
        giou_weight: float = 2.,
        class_cost: float = 2.,
        box_cost: float = 5.,
        giou_cost: float = 2.,
        alpha: float = .25,
        gamma: float = 2.,
        focal_alpha: float = .25,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_weight, self.box_weight, self.giou_weight = class_weight, box_weight, giou_weight
        self.class_cost, self.box_cost, self.giou_cost = class_cost, box_cost, giou_cost
        self.alpha, self.gamma, self.focal_alpha = alpha, gamma, focal_alpha

    def forward(self, predictions: Sequence[BoxPrediction], targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        """Weighted losses ``loss_cls``, ``loss_bbox``, ``loss_iou``; those of earlier predictions as ``d0.loss_cls``.

        Args:
            predictions: From first to last; the last is the network's answer.
            targets: One for each image.
        """
        device = predictions[-1].logits.device
        num_boxes = mean_num_objects(targets, device)
        losses = {}
        with torch.autocast(device.type, enabled=False):
            for index, prediction in enumerate(predictions):
                prefix = '' if index == len(predictions) - 1 else f'd{index}.'
                for name, loss in self._one(prediction, targets, num_boxes * prediction.logits.shape[1]).items():
                    losses[prefix + name] = loss
        return losses

    def _one(self, prediction: BoxPrediction, targets: Sequence[BoxTarget], num_boxes: Tensor) -> dict[str, Tensor]:
        prediction = prediction._replace(logits=prediction.logits.float(), boxes=prediction.boxes.float())
        pairs = self.match(prediction, targets)
        return {name: loss / num_boxes for name, loss in self.sums(prediction, pairs, targets).items()}

    def sums(self, prediction: BoxPrediction, pairs: Pairs, targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        """The weighted losses of one prediction, summed over its matched pairs."""
        matched = prediction.boxes[pairs.queries]
        iou, giou = box_overlap(to_corners(matched), to_corners(pairs.boxes))
        return dict(
            loss_cls=self.class_weight * self.class_loss(prediction.logits, pairs, iou.detach()),
            loss_bbox=self.box_weight * (matched - pairs.boxes).abs().sum(),
            loss_iou=self.giou_weight * (1. - giou).sum())

    def class_loss(self, logits: Tensor, pairs: Pairs, iou: Tensor) -> Tensor:
        """The IoU-aware loss, eq. 5, summed; with softplus in the place of logarithms of probabilities, which end at 0.

        Args:
            logits: (B, G, Q, C).
            pairs: The matched ones.
            iou: The overlap of the two boxes of each pair, (M,).
        """
        probabilities = logits.sigmoid()
        place = (*pairs.queries, pairs.labels)
        quality = (probabilities[place]**self.alpha * iou**(1. - self.alpha)).clamp(min=.01).detach()
        positive = torch.zeros_like(logits).index_put(place, quality)
        negative = (probabilities**self.gamma).index_put(place, 1. - quality)
        return (positive * F.softplus(-logits) + negative * F.softplus(logits)).sum()

    @torch.no_grad()
    def match(self, prediction: BoxPrediction, targets: Sequence[BoxTarget]) -> Pairs:
        """The cheapest pairs of queries and objects, for each image and group by itself."""
        device, found = prediction.logits.device, []
        for image, target in enumerate(targets):
            if not len(target.labels):
                continue
            for group, costs in enumerate(self.costs(prediction, image, target).cpu()):
                queries, objects = hungarian_match(costs)
                place = torch.empty_like(queries)
                found.append((place.new_full(place.shape, image), place.new_full(place.shape, group), queries, objects))
        if not found:
            nothing = torch.zeros(0, dtype=torch.long, device=device)
            return Pairs((nothing, nothing, nothing), nothing, nothing, prediction.boxes.new_zeros(0, 4))
        images, groups, queries, objects = (torch.cat(part).to(device) for part in zip(*found, strict=True))
        starts = torch.tensor([0, *(len(target.labels) for target in targets)], device=device).cumsum(0)
        objects = starts[images] + objects
        labels, boxes = torch.cat([each.labels for each in targets]), torch.cat([each.boxes for each in targets])
        return Pairs((images, groups, queries), objects, labels[objects], boxes.float()[objects])

    def costs(self, prediction: BoxPrediction, image: int, target: BoxTarget) -> Tensor:
        """What it costs to match each query of an image with each of its n objects, (G, Q, n)."""
        logits, boxes = prediction.logits[image][..., target.labels], prediction.boxes[image]
        probabilities = logits.sigmoid()
        focal = (self.focal_alpha * (1. - probabilities)**2 * F.softplus(-logits) -
                 (1. - self.focal_alpha) * probabilities**2 * F.softplus(logits))
        _, giou = box_overlap(to_corners(boxes).unsqueeze(-2), to_corners(target.boxes.float()))
        distance = self.box_distances(prediction, image, target)
        return self.class_cost * focal + self.box_cost * distance - self.giou_cost * giou

    def box_distances(self, prediction: BoxPrediction, image: int, target: BoxTarget) -> Tensor:
        """The L1 distance of each query of an image to each of its n objects, (G, Q, n)."""
        return (prediction.boxes[image].unsqueeze(-2) - target.boxes.float()).abs().sum(-1)


def mean_num_objects(targets: Sequence[BoxTarget], device: torch.device) -> Tensor:
    """Objects per process, averaged over processes, at least 1."""
    return mean_over_processes(sum(len(target.labels) for target in targets), device)


def mean_over_processes(number: int, device: torch.device) -> Tensor:
    """A number of this process averaged over all, at least 1."""
    count = torch.tensor(float(number), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count /= dist.get_world_size()
    return count.clamp(min=1.)
