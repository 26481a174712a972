"""What restoration networks share: images in, images out, and how images are mirrored to whole windows."""
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ...backbones.contract import Backbone
from ...layers import is_symbolic
from ..base import Network
from .pixel_loss import PixelLoss
from .stages import Stage

# Of DIV2K, which the authors of EDSR subtract, and all networks since.
RGB_MEAN = (.4488, .4371, .4040)


class RestorationNetwork(Network):
    """(B, C, H, W) images in [0, 1] of any size to (B, C', scale * H, scale * W), about in [0, 1].

    Most are whole architectures without a backbone. All raise ValueError where images have another number of channels.

    Args:
        scale: The factor of the size; 1 where the size stays.
        in_channels: C: 3 for RGB, 1 for grey images.
        backbone: Gives maps of images, for networks that are heads.

    Attributes:
        out_channels: C', which is C but for networks that make one image of several.
        mean: What the network subtracts from images and adds to its answer, (1, C, 1, 1).
        takes_mask: Whether the network fills holes: the last of its C channels then is 1 where an image is visible and
            0 in holes, and its loss is told of the holes.
    """
    loss_class = PixelLoss
    takes_mask: ClassVar[bool] = False

    def __init__(self, scale: int, in_channels: int = 3, backbone: Backbone | None = None) -> None:
        super().__init__(backbone)
        self.scale, self.in_channels, self.out_channels = scale, in_channels, in_channels
        mean = torch.tensor(RGB_MEAN) if in_channels == 3 else torch.zeros(in_channels)
        self.register_buffer('mean', mean.view(1, -1, 1, 1), persistent=False)
        self.register_forward_pre_hook(_check_channels)

    @property
    def size_divisor(self) -> int:
        """Networks pad images by themselves."""
        return 1

    def refusal(self, channels: int) -> str:
        """What is said to those who give images of another number of channels."""
        if self.in_channels != self.out_channels:
            return (f'{type(self).__name__} takes images of {self.in_channels} channels, of which it makes '
                    f'{self.out_channels}, not {channels} channels: options of model.head tell what they are')
        return (f'{type(self).__name__} takes images of {self.in_channels} channels, not {channels} channels: set '
                "model.head.in_channels to what the data have, or color_type of what loads them to 'color' (3) or "
                "'grayscale' (1)")

    def feature_stages(self) -> list[Stage]:
        """The parts that features go through, one after the other, without what makes images of them."""
        raise NotImplementedError(f'{type(self).__name__} has no stages')

    def forward(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def _check_channels(network: RestorationNetwork, given: tuple[Tensor, ...]) -> None:
    # Before forward of whatever class: by its mean, a network of three channels would make three of one.
    if given and given[0].shape[1] != network.in_channels:
        raise ValueError(network.refusal(given[0].shape[1]))


def mirror_to_multiple(images: Tensor, multiple: int, repeat_edge: bool = False) -> Tensor:
    """Continue (B, C, H, W) at the right and bottom, mirrored, to whole multiples of a side.

    Images that are smaller than what is added are mirrored back and forth, where ``F.pad`` refuses.

    Args:
        multiple: In pixels.
        repeat_edge: Whether the mirror lies behind the last pixel, which then follows itself, or upon it.
    """
    for axis in (2, 3):
        length = images.shape[axis]
        padded = (length + multiple - 1) // multiple * multiple
        if is_symbolic(length) or padded != length:
            # One pixel alone is repeated.
            period = 2 * length if repeat_edge else 2 * (length - 1 + (length == 1))
            place = torch.arange(padded, device=images.device) % period
            place = torch.minimum(place, period - repeat_edge - place).clamp(max=length - 1)
            images = images.index_select(axis, place)
    return images


def stochastic_depth(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Rates of stochastic depth that rise linearly over all blocks from 0 to ``rate``, by group."""
    last = max(sum(depths) - 1, 1)
    rates = iter([rate * block / last for block in range(sum(depths))])
    return [[next(rates) for _ in range(depth)] for depth in depths]
