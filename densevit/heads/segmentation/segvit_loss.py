"""The loss of SegViT (arXiv:2210.05844): every query has a class of its own, and nothing is matched."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from .mask_loss import MaskClassificationLoss, Match
from .mask_types import MaskPrediction, MaskTarget


class SegViTLoss(MaskClassificationLoss):
    """Class cross-entropy for all queries, focal and dice loss at every pixel for those whose class is in the image.

    Masks are compared at the size of the targets. Every prediction is supervised alike.

    Args:
        num_classes: C.
        class_weight, mask_weight, dice_weight: Weights of cross-entropy, focal and dice loss.
        no_object_weight: Class weight of "no object" in the cross-entropy.
        alpha, gamma: Of the focal loss (arXiv:1708.02002).
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 1.,
        mask_weight: float = 20.,
        dice_weight: float = 1.,
        no_object_weight: float = .1,
        alpha: float = .25,
        gamma: float = 2.,
    ) -> None:
        super().__init__(num_classes, class_weight, mask_weight, dice_weight, no_object_weight)
        self.alpha, self.gamma = alpha, gamma

    def match(self, prediction: MaskPrediction, target: MaskTarget) -> Match:
        """Class i is query i's.

        Raises:
            ValueError: Two segments of the image have one class.
        """
        if len(target.labels.unique()) < len(target.labels):
            raise ValueError("SegViT has one query for each class and cannot tell segments of one class apart: train "
                             "it with task='semantic'")
        return target.labels, torch.arange(len(target.labels), device=target.labels.device)

    def _mask_losses(
        self,
        masks: Tensor,
        targets: Sequence[MaskTarget],
        matches: Sequence[Match],
    ) -> tuple[Tensor, Tensor]:
        """Focal and dice loss, each the mean over pixels and the sum over masks."""
        logits = torch.cat([rows[queries] for rows, (queries, _) in zip(masks, matches, strict=True)])
        if not len(logits):
            return masks.sum() * 0., masks.sum() * 0.
        inside = torch.cat([target.masks for target in targets]).to(logits)
        logits = F.interpolate(logits.unsqueeze(1), inside.shape[-2:], mode='bilinear').squeeze(1).flatten(1)
        inside = inside.flatten(1)
        focal = sigmoid_focal_loss(logits, inside, self.alpha, self.gamma).mean(1).sum()
        probs = logits.sigmoid()
        dice = 1. - (2. * (probs * inside).sum(1) + 1.) / (probs.sum(1) + inside.sum(1) + 1.)
        return focal, dice.sum()


class EdgeSegViTLoss(SegViTLoss):
    """SegViT's loss, and for predictions with ``edges`` the binary cross-entropy of each patch: ``loss_edge``.

    A patch is on an edge if a segment covers some of its pixels but not all.

    Args:
        num_classes: C.
        edge_weight: Of the cross-entropy; not from a paper.
        kwargs: Arguments of :class:`SegViTLoss`.
    """

    def __init__(self, num_classes: int, edge_weight: float = 1., **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        self.edge_weight = edge_weight

    def forward(self, predictions: Sequence[MaskPrediction], targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        losses = super().forward(predictions, targets)
        edges = predictions[-1].edges  # the same in all predictions
        if edges is not None:
            wanted = torch.stack([edge_patches(target.masks, edges.shape[-2:]) for target in targets])
            edge_loss = F.binary_cross_entropy_with_logits(edges.float(), wanted.float())
            losses['loss_edge'] = self.edge_weight * edge_loss
        return losses


def edge_patches(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where segments (n, H, W) end within a patch: (h, w), bool."""
    if not len(masks):
        return torch.zeros(grid, dtype=torch.bool, device=masks.device)
    share = F.adaptive_avg_pool2d(masks.float(), grid)
    return ((share > 0) & (share < 1)).any(0)
