"""The loss of the first stage of filling holes: how far pixels are from the true ones, hidden ones apart."""
from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from .pixel_loss import PixelLoss


class HoleLoss(nn.Module):
    """Mean distance of the values of hidden pixels and, with another weight, of visible ones.

    MAT has no such loss: a discriminator and features of a VGG teach it alone, which is what a second stage adds here
    (:class:`densevit.models.restoration.AdversarialRestorer`).

    Args:
        kind, eps: The distance, see :class:`densevit.networks.restoration.PixelLoss`.
        hole_weight: Of hidden pixels.
        visible_weight: Of visible ones, whose answer is not used.
    """

    def __init__(self, kind: Literal['l1', 'charbonnier', 'mse'] = 'l1', eps: float = 1e-3, hole_weight: float = 1.,
                 visible_weight: float = .1) -> None:
        super().__init__()
        self.distance = PixelLoss(kind, eps)
        self.hole_weight, self.visible_weight = hole_weight, visible_weight

    def forward(self, restored: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Compare (B, C, H, W) with the true images of the same shape.

        Args:
            restored: What the network gives.
            target: The true images.
            mask: (B, 1, H, W) bool, True where a pixel was hidden.
        """
        return dict(
            loss_hole=self.hole_weight * self.distance(restored, target, mask)['loss_pixel'],
            loss_visible=self.visible_weight * self.distance(restored, target, ~mask)['loss_pixel'])
