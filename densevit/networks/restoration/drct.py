"""DRCT (Hsu et al., arXiv:2404.00722): Swin blocks that each read what all before them in their group have found.

Section 3.2: a group concatenates the features of its five blocks as DenseNet does, so that what is found early is not
lost on the way (the "information bottleneck" of the paper). The rest is SwinIR's frame.

Parameters have the names of the authors' checkpoints (github.com/ming053l/DRCT).
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import stochastic_depth
from .frame import ResidualFrame, Upsampler
from .swinir import SwinBlock
from .windows import window_parts

_BLOCKS = 5
_RATES = 6  # of stochastic depth for each group in the authors' code and options, whose five blocks have the first
_SHARE = .2  # of a group in its sum with what it is given


class DenseGroup(nn.Module):
    """RDG (equations 4 and 5): five Swin blocks of growing width, each narrowed to ``growth`` channels.

    Args:
        dim: Channels C of the group.
        num_heads: Heads of the first block; wider ones have as many as the authors' formula gives, which divides their
            width only for some: 4, 2, 6 and 4 for a width of 180 and a growth of 32.
        window_size: Side of a window; those of the second and fourth block are moved.
        mlp_ratio: Of the first three blocks; it is 1 in the last two.
        drop_path: Rate of stochastic depth.
        growth: Channels that each block adds.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int, mlp_ratio: float, drop_path: float, growth: int
                 ) -> None:
        super().__init__()
        for index in range(_BLOCKS):
            width = dim + index * growth
            heads = num_heads - (width % num_heads if index else 0)
            if width % heads:
                raise ValueError(f'block {index + 1} of a group has {width} channels and {heads} heads, which do not '
                                 'divide them: change embed_dim, growth or num_heads')
            ratio = mlp_ratio if index < 3 else 1
            setattr(self, f'swin{index + 1}', SwinBlock(width, heads, window_size, bool(index % 2), ratio, drop_path))
            setattr(self, f'adjust{index + 1}', nn.Conv2d(width, growth if index < _BLOCKS - 1 else dim, 1))

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """(B, H, W, C)."""
        found = [x]
        for index in range(1, _BLOCKS + 1):
            features = getattr(self, f'swin{index}')(torch.cat(found, -1), parts)
            features = getattr(self, f'adjust{index}')(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            found.append(F.leaky_relu(features, .2) if index < _BLOCKS else features)
        return found[-1] * _SHARE + x


class DRCT(ResidualFrame):
    """DRCT; DRCT-L has twelve groups.

    Args:
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        embed_dim: Channels C of features.
        num_groups: The number of groups.
        num_heads: Heads of the first block of a group.
        window_size: Side of a window in pixels.
        growth: Channels that each block of a group adds.
        mlp_ratio: Width of MLPs as a multiple of the channels.
        drop_path_rate: Of stochastic depth. It is that of the last of six blocks of each group; the five that there are
            have the rate of the first, .0857 in the last of six groups for .1.
        upsampler: The reconstruction, see :class:`ResidualFrame`.
        num_features: Channels of the reconstruction.
        img_range: Images are multiplied by it.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        scale: int = 4,
        in_channels: int = 3,
        embed_dim: int = 180,
        num_groups: int = 6,
        num_heads: int = 6,
        window_size: int = 16,
        growth: int = 32,
        mlp_ratio: float = 2.,
        drop_path_rate: float = .1,
        upsampler: Upsampler | None = 'pixelshuffle',
        num_features: int = 64,
        img_range: float = 1.,
    ) -> None:
        layers = nn.ModuleList(
            DenseGroup(embed_dim, num_heads, window_size, mlp_ratio, rate, growth)
            for rate, *_ in stochastic_depth(drop_path_rate, (_RATES, ) * num_groups))
        super().__init__(layers, embed_dim, window_size, scale, in_channels, upsampler, num_features=num_features,
                         img_range=img_range)
        self.window_size = window_size

    def context(self, features: Tensor) -> Sequence[Tensor]:
        return [window_parts(features.shape[-2:], self.window_size, features.device)]
