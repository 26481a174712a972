"""The loss of SegViT (arXiv:2210.05844): every query has a class of its own, and nothing is matched."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..mask_loss import Match
from ..mask_types import MaskPrediction, MaskTarget
from ..maskformer_loss import MaskFormerLoss
from ..pixel_loss import PixelClassificationLoss


class SegViTLoss(MaskFormerLoss):
    """MaskFormer's loss without its matching: only queries whose class is in the image have a mask to learn.

    The arguments are those of :class:`MaskFormerLoss`.
    """

    def match(self, prediction: MaskPrediction, target: MaskTarget) -> Match:
        """Match query i with class i, if that is in the image.

        Raises:
            ValueError: Two segments of the image have one class.
        """
        if len(target.labels.unique()) < len(target.labels):
            raise ValueError("SegViT has one query for each class and cannot tell segments of one class apart: train "
                             "it with task='semantic'")
        return target.labels, torch.arange(len(target.labels), device=target.labels.device)


class SegViTShrunkLoss(SegViTLoss):
    """SegViT's loss, and what the Shrunk forms add to it.

    ``loss_edge`` for predictions with ``edges``: the binary cross-entropy of each patch, which is on an edge if a
    segment covers some of its pixels but not all. ``loss_aux`` for predictions with ``patches``: the cross-entropy of
    their classes at every labelled pixel.

    Args:
        num_classes: C.
        edge_weight: Weight of ``loss_edge``; not from a paper.
        aux_weight: Weight of ``loss_aux``.
        kwargs: Arguments of :class:`SegViTLoss`.
    """

    def __init__(self, num_classes: int, edge_weight: float = 1., aux_weight: float = .4, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        self.edge_weight, self.aux_weight = edge_weight, aux_weight
        weights = kwargs.get('class_weights')
        self.pixel_loss = PixelClassificationLoss(num_classes, class_weight=None if weights is None else weights[:-1])

    def forward(self, predictions: Sequence[MaskPrediction], targets: Sequence[MaskTarget]) -> dict[str, Tensor]:
        losses = super().forward(predictions, targets)
        edges, patches = predictions[-1].edges, predictions[-1].patches  # the same in all predictions
        if edges is not None:
            wanted = torch.stack([edge_patches(target.masks, edges.shape[-2:]) for target in targets])
            edge_loss = F.binary_cross_entropy_with_logits(edges.float(), wanted.float())
            losses['loss_edge'] = self.edge_weight * edge_loss
        if patches is not None:
            labels = torch.stack([label_map(target, self.pixel_loss.ignore_index) for target in targets])
            losses['loss_aux'] = self.aux_weight * self.pixel_loss([patches], labels)['loss_seg']
        return losses


def edge_patches(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where segments (n, H, W) end within a patch: (h, w), bool."""
    if not len(masks):
        return torch.zeros(grid, dtype=torch.bool, device=masks.device)
    share = F.adaptive_avg_pool2d(masks.float(), grid)
    return ((share > 0) & (share < 1)).any(0)


def label_map(target: MaskTarget, ignore_index: int) -> Tensor:
    """The class at each pixel (H, W), ``ignore_index`` where there is no segment."""
    labels = target.labels.new_full(target.masks.shape[-2:], ignore_index)
    for label, mask in zip(target.labels, target.masks, strict=True):
        labels[mask.bool()] = label
    return labels
