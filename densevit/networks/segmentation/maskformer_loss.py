"""The loss of MaskFormer (arXiv:2107.06278, section 3.2 and appendix A): focal and dice losses of whole masks."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from ...layers import resize_bilinear
from ...layers.matching import Match, hungarian_match
from .mask_loss import MaskClassificationLoss, dice_loss, pairwise_dice
from .mask_types import MaskPrediction, MaskTarget


class MaskFormerLoss(MaskClassificationLoss):
    """Class cross-entropy for all queries, focal and dice losses of the matched ones over all pixels.

    Matching compares masks at the resolution of the prediction, the losses at that of the targets.

    Args:
        num_classes: C.
        class_weight, mask_weight, dice_weight: Weights of the three losses, and of the costs of a match.
        no_object_weight, class_weights: See :class:`MaskClassificationLoss`.
        focal_alpha, focal_gamma: Weight of positive pixels and focusing exponent (arXiv:1708.02002, eq. 5).
    """

    def __init__(
        self,
        num_classes: int,
        class_weight: float = 1.,
        mask_weight: float = 20.,  # the paper's, section 4.1
        dice_weight: float = 1.,
        no_object_weight: float = .1,
        focal_alpha: float = .25,
        focal_gamma: float = 2.,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(num_classes, class_weight, mask_weight, dice_weight, no_object_weight,
                         class_weights=class_weights)
        self.focal_alpha, self.focal_gamma = focal_alpha, focal_gamma

    @torch.no_grad()
    def match(self, prediction: MaskPrediction, target: MaskTarget) -> Match:
        """Queries (n,) and segments (n,) of one image, matched at the least total cost.

        Args:
            prediction: Masks (Q, h, w) and classes (Q, C + 1) of one image.
            target: Its segments.
        """
        logits = prediction.masks.float()
        inside = F.interpolate(target.masks.unsqueeze(1).to(logits), logits.shape[-2:], mode='nearest').flatten(1)
        logits = logits.flatten(1)
        mask_cost = pairwise_focal(logits, inside, self.focal_alpha, self.focal_gamma)
        return hungarian_match(
            self.mask_weight * mask_cost + self.dice_weight * pairwise_dice(logits, inside) -
            self.class_weight * prediction.classes.float().softmax(-1)[:, target.labels])

    def _mask_losses(
        self,
        masks: Tensor,
        targets: Sequence[MaskTarget],
        matches: Sequence[Match],
    ) -> tuple[Tensor, Tensor]:
        """Focal and dice, each the mean over pixels and the sum over matched masks."""
        logits = torch.cat([rows[queries] for rows, (queries, _) in zip(masks, matches, strict=True)])
        if not len(logits):
            return masks.sum() * 0., masks.sum() * 0.
        inside = torch.cat([
            target.masks[segments].to(logits) for target, (_, segments) in zip(targets, matches, strict=True)])
        logits = resize_bilinear(logits[None], inside.shape[-2:])[0].flatten(1)
        inside = inside.flatten(1)
        focal = sigmoid_focal_loss(logits, inside, self.focal_alpha, self.focal_gamma).mean(1).sum()
        return focal, dice_loss(logits, inside).sum()


def pairwise_focal(logits: Tensor, inside: Tensor, alpha: float, gamma: float) -> Tensor:
    """Mean focal loss of every mask with every segment: (Q, P), (n, P) to (Q, n)."""
    probs = logits.sigmoid()
    positive = alpha * (1. - probs)**gamma * F.softplus(-logits)
    negative = (1. - alpha) * probs**gamma * F.softplus(logits)
    return (negative.sum(1, keepdim=True) + (positive - negative) @ inside.T) / logits.shape[1]
