"""The loss of SegViT (arXiv:2210.05844): every query has a class of its own, and nothing is matched."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .mask_loss import Match
from .mask_types import MaskPrediction, MaskTarget
from .maskformer_loss import MaskFormerLoss


class SegViTLoss(MaskFormerLoss):
    """MaskFormer's loss without its matching: only queries whose class is in the image have a mask to learn.

    The arguments are those of :class:`MaskFormerLoss`.
    """

    def match(self, prediction: MaskPrediction, target: MaskTarget) -> Match:
        """Class i is query i's.

        Raises:
            ValueError: Two segments of the image have one class.
        """
        if len(target.labels.unique()) < len(target.labels):
            raise ValueError("SegViT has one query for each class and cannot tell segments of one class apart: train "
                             "it with task='semantic'")
        return target.labels, torch.arange(len(target.labels), device=target.labels.device)


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
