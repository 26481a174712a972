"""Networks for matting with a trimap."""
from __future__ import annotations

from torch import Tensor

from ..base import Network
from .losses import MattingLoss


class MattingNetwork(Network):
    """(B, 4, H, W), normalised images with a trimap behind their colours, to the opacity of each pixel.

    The trimap is 0 where there is background, 1 where there is foreground and 0.5 where the network is to tell.
    """

    loss_class = MattingLoss

    def forward(self, images: Tensor) -> Tensor:
        """The opacity (B, h, w) in [0, 1], single precision, over the images padded to ``size_divisor``."""
        raise NotImplementedError
