"""From features to images: the ends of restoration networks, under the names of their authors' checkpoints."""
from __future__ import annotations

from torch import nn


def conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def upsample_in_steps(scale: int, channels: int) -> nn.Sequential:
    """Convolutions and pixel shuffles (Shi et al., arXiv:1609.05158) by 2 each, or by 3 at once.

    Raises:
        ValueError: The scale is neither a power of 2 nor 3.
    """
    if scale == 3:
        return nn.Sequential(conv3(channels, 9 * channels), nn.PixelShuffle(3))
    if scale < 1 or scale & (scale - 1):
        raise ValueError(f'scale={scale}: give a power of 2, or 3')
    steps = scale.bit_length() - 1
    return nn.Sequential(*(part for _ in range(steps) for part in (conv3(channels, 4 * channels), nn.PixelShuffle(2))))


def three_convs(channels: int) -> nn.Sequential:
    """Convolutions with a quarter of the channels between, which large networks have in place of one."""
    return nn.Sequential(
        conv3(channels, channels // 4), nn.LeakyReLU(.2), nn.Conv2d(channels // 4, channels // 4, 1), nn.LeakyReLU(.2),
        conv3(channels // 4, channels))
