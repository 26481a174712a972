"""The mask-classification loss of Mask2Former (arXiv:2112.01527, section 3.3), with DETR's matching (2005.12872)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import sample_points, uncertain_points
from ...layers.mask_losses import dice_loss, pairwise_bce, pairwise_dice
from ...layers.matching import Match, hungarian_match
from .class_weights import check_loss_weight, per_weight, weights_of_classes
from .mask_types import MaskPrediction, MaskTarget


class MaskClassificationLoss(nn.Module):
    """Class cross-entropy for all queries, mask BCE and dice at sampled points for the matched ones.

    Each prediction is matched and supervised on its own and all have the same weight.

    Args:
        num_classes: C.
        class_weight, mask_weight, dice_weight: Weights of the three losses, and of the costs of a match.
        no_object_weight: Weight of "no object" in the class loss, where each class has 1.
        class_weights: In its place C + 1 weights, of each class and, as the last, of "no object": the ``class_weight``
            of mmdetection's ``CrossEntropyLoss``. Costs of a match have none.
        num_points: Points per mask, for matching (uniform) and for the loss (partly where the mask is uncertain).
        oversample_ratio, importance_sample_ratio: See :func:`densevit.layers.uncertain_points`.

    Raises:
        ValueError: No points; class weights that are not C + 1 numbers.
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 2.,  # the weights of the paper, section 4.1
        mask_weight: float = 5.,
        dice_weight: float = 5.,
        no_object_weight: float = .1,
        num_points: int = 12544,  # 112 x 112, the paper's K, section 3.3
        oversample_ratio: float = 3.,
        importance_sample_ratio: float = .75,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if num_points < 1:
            raise ValueError(f'num_points={num_points}: masks are compared at one point at least')
        check_loss_weight(class_weight)
        self.class_weight, self.mask_weight, self.dice_weight = class_weight, mask_weight, dice_weight
        self.num_points = num_points
        self.oversample_ratio, self.importance_sample_ratio = oversample_ratio, importance_sample_ratio
        weights = [1.] * num_classes + [no_object_weight] if class_weights is None else class_weights
        weight = weights_of_classes(weights, num_classes, 'class_weights', no_object=True)
        if class_weights is not None and no_object_weight not in (.1, class_weights[-1]):
            raise ValueError("criterion: the last of class_weights is the weight of 'no object'; leave out "
                             'no_object_weight')
        self.register_buffer('class_weights', weight, persistent=False)

    def forward(self, predictions: Sequence[MaskPrediction], targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        """Weighted losses ``loss_cls``, ``loss_mask``, ``loss_dice``; those of earlier predictions as ``d0.loss_cls``.

        Args:
            predictions: From first to last; the last is the network's answer.
            targets: One for each image.
        """
        device = predictions[-1].masks.device
        num_masks = self._mean_num_masks(targets, device)
        losses = {}
        with torch.autocast(device.type, enabled=False):  # half-precision costs would decide matches by rounding
            for index, prediction in enumerate(predictions):
                prefix = '' if index == len(predictions) - 1 else f'd{index}.'
                for name, loss in self._one(prediction, targets, num_masks).items():
                    losses[prefix + name] = loss
        return losses

    def _one(self, prediction: MaskPrediction, targets: Sequence[MaskTarget], num_masks: Tensor) -> dict[str, Tensor]:
        prediction = MaskPrediction(prediction.masks.float(), prediction.classes.float())
        matches = [
            self.match(MaskPrediction(*image), target)
            for image, target in zip(zip(*prediction, strict=True), targets, strict=True)
        ]
        loss_mask, loss_dice = self._mask_losses(prediction.masks, targets, matches)
        return dict(
            loss_cls=self.class_weight * self._class_loss(prediction.classes, targets, matches),
            loss_mask=self.mask_weight * loss_mask / num_masks,
            loss_dice=self.dice_weight * loss_dice / num_masks)

    @torch.no_grad()
    def match(self, prediction: MaskPrediction, target: MaskTarget) -> Match:
        """Queries (n,) and segments (n,) of one image, matched at the least total cost.

        Args:
            prediction: Masks (Q, h, w) and classes (Q, C + 1) of one image.
            target: Its segments.
        """
        masks = prediction.masks.float()
        points = torch.rand(1, self.num_points, 2, device=masks.device)
        logits = sample_points(masks[None], points)[0]  # (Q, P)
        inside = sample_points(target.masks[None].to(logits), points)[0]  # (n, P)
        return hungarian_match(
            self.mask_weight * pairwise_bce(logits, inside) + self.dice_weight * pairwise_dice(logits, inside) -
            self.class_weight * prediction.classes.float().softmax(-1)[:, target.labels])

    def _class_loss(self, classes: Tensor, targets: Sequence[MaskTarget], matches: Sequence[Match]) -> Tensor:
        wanted = classes.new_full(classes.shape[:2], classes.shape[-1] - 1, dtype=torch.long)
        for row, target, (queries, segments) in zip(wanted, targets, matches, strict=True):
            row[queries] = target.labels[segments]
        total = F.cross_entropy(classes.transpose(1, 2), wanted, self.class_weights, reduction='sum')
        return per_weight(total, self.class_weights[wanted].sum())

    def _mask_losses(
        self,
        masks: Tensor,
        targets: Sequence[MaskTarget],
        matches: Sequence[Match],
    ) -> tuple[Tensor, Tensor]:
        """BCE and dice, each the mean over points and the sum over matched masks."""
        logits = torch.cat([rows[queries] for rows, (queries, _) in zip(masks, matches, strict=True)]).unsqueeze(1)
        if not len(logits):
            return masks.sum() * 0., masks.sum() * 0.
        points = uncertain_points(logits, self.num_points, self.oversample_ratio, self.importance_sample_ratio)
        per_image = points.split([len(queries) for queries, _ in matches])
        inside = torch.cat([
            sample_points(target.masks[segments].unsqueeze(1).to(logits), own)
            for target, (_, segments), own in zip(targets, matches, per_image, strict=True)
        ]).squeeze(1)
        logits = sample_points(logits, points).squeeze(1)  # (M, P)
        bce = F.binary_cross_entropy_with_logits(logits, inside, reduction='none').mean(1).sum()
        return bce, dice_loss(logits, inside).sum()

    @staticmethod
    def _mean_num_masks(targets: Sequence[MaskTarget], device: torch.device) -> Tensor:
        """Segments per process, averaged over processes, at least 1."""
        count = torch.tensor(float(sum(len(target.labels) for target in targets)), device=device)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(count)
            count /= dist.get_world_size()
        return count.clamp(min=1.)
