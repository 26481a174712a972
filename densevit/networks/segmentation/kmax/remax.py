"""ReMaX (arXiv:2306.17319): panoptic masks and class labels that are relaxed while a mask transformer learns."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .semantic import ASPP, init_classifier


class SemanticBranch(nn.Module):
    """Class logits of each pixel for ReMask: (B, C_in, h, w) to (B, C, h, w)."""

    def __init__(self, in_channels: int, num_classes: int, dim: int) -> None:
        super().__init__()
        self.aspp = ASPP(in_channels, dim)
        self.classify = nn.Conv2d(dim, num_classes, 1)
        init_classifier(self.classify)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.aspp(x))


def relax_masks(masks: Tensor, classes: Tensor, semantic: Tensor) -> Tensor:
    """ReMask: m + m * (sigmoid(p) sigmoid(m_sem)), so that mistaken masks weigh less where no class fits.

    A pixel's gate is the sum over classes of how much a query and the pixel are of the class. The semantic branch
    learns nothing from the masks.

    Args:
        masks: m, logits (B, Q, h, w).
        classes: p, logits (B, Q, C + 1); "no object" has no semantic counterpart.
        semantic: m_sem, logits (B, C, h, w).
    """
    gate = torch.einsum('bqc,bchw->bqhw', classes[..., :-1].float().sigmoid(), semantic.detach().float().sigmoid())
    return masks + masks * gate


def relax_labels(one_hot: Tensor, masks: Tensor, semantic: Tensor, eta: float) -> Tensor:
    """ReClass: y = eta y_m + (1 - eta y_m) y_c, since a predicted mask holds more than one class.

    y_m is how much of each class's pixels a predicted mask covers: sigmoid(m) S / sum(S).

    Args:
        one_hot: y_c, (B, Q, C + 1), of matched segments or "no object".
        masks: m, logits (B, Q, h, w).
        semantic: S, which pixels are of each class, (B, C, h, w) in {0, 1}.
        eta: Degree of relaxation; the paper uses 0.1.
    """
    covered = torch.einsum('bqhw,bchw->bqc', masks.detach().float().sigmoid(), semantic)
    covered = eta * F.pad(covered / semantic.sum((2, 3)).clamp(min=1.).unsqueeze(1), (0, 1))
    return covered + (1 - covered) * one_hot
