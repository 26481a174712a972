"""The losses of D-FINE (arXiv:2410.13842) and DEIM (arXiv:2412.04234): classes, boxes, distributions of edges."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ....layers.boxes import box_overlap, to_corners
from ..set_loss import BoxSetLoss, BoxTarget, Pairs, mean_num_objects, mean_over_processes
from .edges import bins_of_distances, distances_of_boxes
from .prediction import EdgePrediction

_TEMPERATURE = 5.  # of distributions that are compared


class DEIMLoss(BoxSetLoss):
    """Classes of all queries; boxes and edges of those that any layer matched.

    Every prediction is matched by itself, which decides what its classes learn. Boxes and edges learn from the union of
    all these matches (GO-LSD, D-FINE section 4.2), and the edges of all queries of earlier layers from those of the
    last layer. Denoising queries learn the same from the objects that they were made of.

    Args:
        num_classes: The number of classes C.
        class_loss: ``'mal'``, DEIM's matchability-aware loss, or ``'vfl'``, the varifocal loss (arXiv:2008.13367).
        gamma: The power of scores that weighs what is not matched, and that of the IoU in ``'mal'``; DEIM has 1.5,
            D-FINE 2.
        negative_weight: The weight of what is not matched; 1 by default, and 0.75 for ``'vfl'``.
        edge_weight: The weight of the fine-grained localisation loss of edges.
        distill_weight: The weight of what the edges of a layer learn from those of the last.
        late_matching: The share of the run from which queries are matched by score times IoU alone (DEIMv2); None for
            never.
        iou_power: The power of the IoU in that product.
        **options: Further weights and costs of :class:`~densevit.networks.detection.BoxSetLoss`.
    """

    def __init__(
        self,
        num_classes: int,
        class_loss: Literal['mal', 'vfl'] = 'mal',
        gamma: float = 1.5,
        negative_weight: float | None = None,
        edge_weight: float = .15,
        distill_weight: float = 1.5,
        late_matching: float | None = None,
        iou_power: float = 4.,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, gamma=gamma, **options)
        if class_loss not in ('mal', 'vfl'):
            raise ValueError(f"criterion.class_loss is 'mal' or 'vfl', not {class_loss!r}")
        self.kind = class_loss
        self.negative_weight = dict(mal=1., vfl=.75)[class_loss] if negative_weight is None else negative_weight
        self.edge_weight, self.distill_weight = edge_weight, distill_weight
        self.late_matching, self.iou_power = late_matching, iou_power
        self.progress = 0.

    def set_progress(self, share: float) -> None:
        """Say how much of the run is done, which decides how queries are matched."""
        self.progress = share

    def costs(self, prediction: EdgePrediction, image: int, target: BoxTarget) -> Tensor:
        """What it costs to match each query of an image with each of its n objects, (G, Q, n).

        Late in a run it is minus the score times a power of the IoU (as in TOOD, arXiv:2108.07755, eq. 2), by which
        metrics order the predictions of an object.
        """
        if self.late_matching is None or self.progress < self.late_matching:
            return super().costs(prediction, image, target)
        scores = prediction.logits[image][..., target.labels].sigmoid()
        iou, _ = box_overlap(to_corners(prediction.boxes[image]).unsqueeze(-2), to_corners(target.boxes.float()))
        return -scores * iou**self.iou_power

    def forward(self, predictions: Sequence[EdgePrediction], targets: Sequence[BoxTarget]) -> dict[str, Tensor]:
        """Weighted losses ``loss_cls``, ``loss_bbox``, ``loss_iou``, ``loss_edge`` and ``loss_distill``.

        Those of earlier predictions begin with ``d0.`` and so on, those of denoising queries with ``dn``.

        Args:
            predictions: From first to last; the last is the network's answer.
            targets: One for each image.
        """
        device, losses = predictions[-1].logits.device, {}
        num_boxes = mean_num_objects(targets, device)
        with torch.autocast(device.type, enabled=False):
            predictions = [_single(prediction) for prediction in predictions]
            matches = [self.match(prediction, targets) for prediction in predictions]
            union = most_frequent_pairs(matches)
            num_union = mean_over_processes(len(union.labels), device)
            last = len(predictions) - 1
            for index, (prediction, own) in enumerate(zip(predictions, matches, strict=True)):
                place = '' if index == last else f'd{index}.'
                found = self.of_prediction(prediction, predictions[-1], own, union, num_boxes, num_union)
                losses.update({place + name: loss for name, loss in found.items()})
                if prediction.noised is not None:
                    made = denoising_pairs(prediction.noised, targets)
                    count = num_boxes * prediction.noised.logits.shape[1]
                    found = self.of_prediction(
                        prediction.noised, predictions[-1].noised, made, made, count, count)
                    losses.update({f'dn{place and index}.{name}': loss for name, loss in found.items()})
        return losses

    def of_prediction(
        self,
        prediction: EdgePrediction,
        last: EdgePrediction,
        own: Pairs,
        union: Pairs,
        num_boxes: Tensor,
        num_union: Tensor,
    ) -> dict[str, Tensor]:
        """The weighted losses of one prediction.

        Args:
            prediction: Of any layer.
            last: Of the last layer.
            own: The pairs from which classes learn.
            union: The pairs from which boxes and edges learn.
            num_boxes, num_union: What losses of the two are divided by.
        """
        iou, _ = box_overlap(to_corners(prediction.boxes[own.queries]), to_corners(own.boxes))
        class_loss = self.class_loss(prediction.logits, own, iou.detach()) / num_boxes
        matched = prediction.boxes[union.queries]
        iou, giou = box_overlap(to_corners(matched), to_corners(union.boxes))
        losses = dict(
            loss_cls=self.class_weight * class_loss,
            loss_bbox=self.box_weight * (matched - union.boxes).abs().sum() / num_union,
            loss_iou=self.giou_weight * (1. - giou).sum() / num_union)
        if prediction.edges is not None:
            losses['loss_edge'] = self.edge_weight * self.edge_loss(prediction, union, iou.detach()) / num_union
            if prediction is not last:
                losses['loss_distill'] = self.distill_weight * self.distillation(prediction, last, union, iou.detach())
        return losses

    def class_loss(self, logits: Tensor, pairs: Pairs, iou: Tensor) -> Tensor:
        """Binary cross entropy summed, whose target is the IoU: DEIM eq. 3 (to a power), or the varifocal loss.

        Args:
            logits: (B, G, Q, C).
            pairs: The matched ones.
            iou: Of each pair, (M,).
        """
        place = (*pairs.queries, pairs.labels)
        quality = iou**self.gamma if self.kind == 'mal' else iou
        weights = self.negative_weight * logits.detach().sigmoid()**self.gamma
        weights = weights.index_put(place, torch.ones_like(iou) if self.kind == 'mal' else iou)
        truth = torch.zeros_like(logits).index_put(place, quality)
        return F.binary_cross_entropy_with_logits(logits, truth, weights, reduction='sum')

    def edge_loss(self, prediction: EdgePrediction, pairs: Pairs, iou: Tensor) -> Tensor:
        """Fine-grained localisation, D-FINE eq. 5, summed: the two bins around the true distance, weighted by IoU."""
        edges = prediction.edges
        distances = distances_of_boxes(
            edges.references[pairs.queries], to_corners(pairs.boxes), edges.scale)
        below, share = bins_of_distances(distances, edges.values)
        log_probabilities = edges.logits[pairs.queries].log_softmax(-1)
        low, high = (log_probabilities.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (below, below + 1))
        return -((low * (1. - share) + high * share) * iou.unsqueeze(-1)).sum()

    def distillation(self, prediction: EdgePrediction, last: EdgePrediction, pairs: Pairs, iou: Tensor) -> Tensor:
        """Decoupled distillation focal loss, D-FINE eq. 6: edges of every query learn from those of the last layer.

        Matched queries are weighted by IoU, the others by the score of the last layer; the means of the two are
        weighted by the square roots of their numbers.
        """
        teacher = (last.edges.logits.detach() / _TEMPERATURE).softmax(-1)
        student = (prediction.edges.logits / _TEMPERATURE).log_softmax(-1)
        divergence = F.kl_div(student, teacher, reduction='none').sum((-1, -2)) * _TEMPERATURE**2
        weights = last.logits.detach().sigmoid().amax(-1).index_put(pairs.queries, iou)
        is_matched = torch.zeros_like(weights, dtype=torch.bool).index_put(
            pairs.queries, torch.ones_like(iou, dtype=torch.bool))
        total, roots = 0., 0.
        for chosen in (is_matched, ~is_matched):
            count = 4. * chosen.sum()  # edges
            total = total + (divergence * weights * chosen).sum() / count.clamp(min=1.).sqrt()
            roots = roots + count.sqrt()
        return total / roots


def most_frequent_pairs(matches: Sequence[Pairs]) -> Pairs:
    """The union of matches of one group; a query that was matched with several objects keeps the most frequent."""
    images, queries, objects = (torch.cat(part) for part in zip(
        *((pairs.queries[0], pairs.queries[2], pairs.objects) for pairs in matches), strict=True))
    labels, boxes = (torch.cat([getattr(pairs, name) for pairs in matches]) for name in ('labels', 'boxes'))
    found, inverse, counts = torch.stack((images, queries, objects)).unique(
        dim=1, return_inverse=True, return_counts=True)
    kinds = torch.arange(found.shape[1], device=found.device)
    first = torch.zeros_like(kinds).scatter_(0, inverse, torch.arange(len(images), device=found.device))
    # Sorted by frequency, then by query and stably, so that the first of each query is its most frequent.
    order = counts.argsort(descending=True, stable=True)
    place = found[0, order] * (int(queries.max()) + 1 if len(queries) else 1) + found[1, order]
    order = order[place.argsort(stable=True)]
    image, query, item = found[:, order]
    is_new = torch.ones_like(image, dtype=torch.bool)
    is_new[1:] = (image[1:] != image[:-1]) | (query[1:] != query[:-1])
    image, query, item, source = (x[is_new] for x in (image, query, item, first[order]))
    return Pairs((image, torch.zeros_like(image), query), item, labels[source], boxes[source])


def denoising_pairs(prediction: EdgePrediction, targets: Sequence[BoxTarget]) -> Pairs:
    """In every group the first queries are those of the objects, in their order."""
    device, groups = prediction.logits.device, prediction.logits.shape[1]
    counts = [len(target.labels) for target in targets]
    objects = torch.arange(sum(counts), device=device)
    images = torch.repeat_interleave(torch.tensor(counts, device=device))
    queries = torch.cat([torch.arange(count, device=device) for count in counts])
    group = torch.arange(groups, device=device).repeat_interleave(len(objects))
    images, queries, objects = (x.repeat(groups) for x in (images, queries, objects))
    labels, boxes = torch.cat([each.labels for each in targets]), torch.cat([each.boxes for each in targets])
    return Pairs((images, group, queries), objects, labels[objects], boxes.float()[objects])


def _single(prediction: EdgePrediction) -> EdgePrediction:
    """A prediction in single precision."""
    edges, noised = prediction.edges, prediction.noised
    return prediction._replace(
        logits=prediction.logits.float(), boxes=prediction.boxes.float(),
        edges=edges and edges._replace(**{name: x.float() for name, x in edges._asdict().items()}),
        noised=noised and _single(noised))
