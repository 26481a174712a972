"""The loss of the first stage of training: how far each pixel is from the true one."""
from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class PixelLoss(nn.Module):
    """Mean distance of all values of restored and true images, both in [0, 1], or of those behind a mask.

    Args:
        kind: ``'l1'``; ``'charbonnier'``, ``sqrt(d^2 + eps^2)``, which is smooth at 0 (Lai et al., arXiv:1710.01992,
            equation 3); or ``'mse'``.
        eps: Of Charbonnier's form. 1e-3, its authors' value, is a quarter of an 8-bit level. Code that adds a number
            without a square, as KAIR (1e-9) does, has the root of it here.
    """

    def __init__(self, kind: Literal['l1', 'charbonnier', 'mse'] = 'l1', eps: float = 1e-3) -> None:
        super().__init__()
        if kind not in ('l1', 'charbonnier', 'mse'):
            raise ValueError(f"kind='{kind}': choose 'l1', 'charbonnier' or 'mse'")
        self.kind, self.eps = kind, eps

    def forward(self, restored: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Compare (B, C, H, W) with the true images of the same shape.

        Args:
            restored: What the network gives.
            target: The true images.
            mask: (B, 1, H, W) bool, where to compare them; everywhere if None.
        """
        difference = restored.float() - target.float()
        if self.kind == 'l1':
            loss = difference.abs()
        elif self.kind == 'mse':
            loss = difference.square()
        else:
            loss = torch.sqrt(difference.square() + self.eps**2)
        if mask is None:
            return dict(loss_pixel=loss.mean())
        counted = mask.expand_as(loss)
        return dict(loss_pixel=(loss * counted).sum() / counted.sum().clamp(min=1))
