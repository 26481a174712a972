"""The U-net that tells restored images from true ones, pixel by pixel (Real-ESRGAN, arXiv:2107.10833, section 3.4)."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


class UNetDiscriminator(nn.Module):
    """Three levels down and up with skips that are added, and spectral norms (Miyato et al., arXiv:1802.05957).

    Parameters have the names of the authors' checkpoints (github.com/xinntao/Real-ESRGAN).

    Args:
        in_channels: 3 for RGB, 1 for grey images.
        width: Channels at the full resolution.
    """

    def __init__(self, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(in_channels, width, 3, padding=1)
        for index, factor in enumerate((1, 2, 4), 1):
            setattr(self, f'conv{index}', spectral_norm(
                nn.Conv2d(factor * width, 2 * factor * width, 4, stride=2, padding=1, bias=False)))
        for index, (before, after) in enumerate(((8, 4), (4, 2), (2, 1), (1, 1), (1, 1)), 4):
            setattr(self, f'conv{index}', spectral_norm(
                nn.Conv2d(before * width, after * width, 3, padding=1, bias=False)))
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1], sides from 8 on, to logits (B, 1, H, W): above 0 for true images."""
        levels = [F.leaky_relu(self.conv0(images), .2)]
        for conv in (self.conv1, self.conv2, self.conv3):
            levels.append(F.leaky_relu(conv(levels[-1]), .2))
        x = levels.pop()
        for conv in (self.conv4, self.conv5, self.conv6):
            level = levels.pop()
            # Twice the size, but for sides that are no multiples of 8.
            x = F.interpolate(x, size=level.shape[2:], mode='bilinear', align_corners=False)
            x = F.leaky_relu(conv(x), .2) + level
        for conv in (self.conv7, self.conv8):
            x = F.leaky_relu(conv(x), .2)
        return self.conv9(x)
