"""The convolutional branch beside the ViT: ViT-Adapter (arXiv:2205.08534), section 3.2."""
from __future__ import annotations

from torch import Tensor, nn

from ..layers import SyncBatchNorm


class SpatialPriorModule(nn.Module):
    """The stem of a ResNet and three convolutions of stride 2, each level projected to the ViT's width.

    Args:
        width: Channels of the stem; the levels have 1, 2, 4 and 4 times as many.
        embed_dim: D.
        finest: Whether the level of stride 4 is projected; without it ``forward`` gives None in its place.
    """

    def __init__(self, width: int, embed_dim: int, finest: bool = True) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_conv(3, width, stride=2), *_conv(width, width), *_conv(width, width), nn.MaxPool2d(3, 2, 1))
        self.conv2 = nn.Sequential(*_conv(width, 2 * width, stride=2))
        self.conv3 = nn.Sequential(*_conv(2 * width, 4 * width, stride=2))
        self.conv4 = nn.Sequential(*_conv(4 * width, 4 * width, stride=2))
        self.fc1 = nn.Conv2d(width, embed_dim, 1) if finest else None
        self.fc2 = nn.Conv2d(2 * width, embed_dim, 1)
        self.fc3 = nn.Conv2d(4 * width, embed_dim, 1)
        self.fc4 = nn.Conv2d(4 * width, embed_dim, 1)

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W) to maps (B, D, H / s, W / s) for s = 4, 8, 16, 32."""
        c1 = self.stem(images)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return None if self.fc1 is None else self.fc1(c1), self.fc2(c2), self.fc3(c3), self.fc4(c4)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), SyncBatchNorm(out_channels),
            nn.ReLU(inplace=True))
