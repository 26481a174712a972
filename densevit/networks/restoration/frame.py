"""The frame of SwinIR (Liang et al., arXiv:2108.10257, section 3.1), into which later papers put blocks of their own.

A convolution gives shallow features, groups of blocks with a sum around them deep ones, and a reconstruction makes an
image of both. Parameters have the names of the authors' checkpoints, which those of HAT, DRCT, ATD and CAT share.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import crop
from .base import RestorationNetwork, mirror_to_multiple
from .stages import Stage

Upsampler = Literal['pixelshuffle', 'pixelshuffledirect', 'nearest+conv']


def conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def end_convs(channels: int, count: Literal[1, 3] = 1) -> nn.Module:
    """What ends a group: a convolution, or three with a quarter of the channels between, which large networks have."""
    if count == 1:
        return conv3(channels, channels)
    return nn.Sequential(
        conv3(channels, channels // 4), nn.LeakyReLU(.2), nn.Conv2d(channels // 4, channels // 4, 1), nn.LeakyReLU(.2),
        conv3(channels // 4, channels))


def initialised(layers: nn.Module) -> nn.Module:
    """Give linear layers within the initial values that all authors of this frame's networks do; returns the module.

    Weights are normal with a deviation of .02, biases zero. Convolutions and norms begin as in PyTorch, there too.
    """
    for module in layers.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return layers


class Blocks(nn.Module):
    """Blocks over (B, H, W, C), one after the other, under the name of the authors' groups."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """(B, H, W, C); the context is what all blocks share."""
        for block in self.blocks:
            x = block(x, *context)
        return x


class ResidualGroup(nn.Module):
    """RSTB (section 3.2): blocks over (B, H, W, C), a convolution, a sum."""

    def __init__(self, blocks: nn.Module, conv: nn.Module) -> None:
        super().__init__()
        self.residual_group = blocks
        self.conv = conv

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """(B, H, W, C); the context is what all groups share."""
        features = self.residual_group(x, *context)
        return self.conv(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + x


class _Embedding(nn.Module):
    """Pixels are tokens; the norm has the name of the authors' patch embedding."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, H, W, C)."""
        return self.norm(x.permute(0, 2, 3, 1))


class ResidualFrame(RestorationNetwork):
    """Convolution, groups, reconstruction.

    Args:
        layers: The groups: modules of (B, H, W, C) and what :meth:`context` gives.
        embed_dim: Channels C of features.
        multiple: Images are mirrored to whole multiples of it, and what is added is cut off again.
        scale: The factor of the size.
        in_channels: 3 for RGB, 1 for grey images.
        upsampler: The reconstruction; None for a scale of 1, where the image is added to the answer.

            - ``'pixelshuffle'``: convolutions and shuffles by 2 each, or by 3 (classical super-resolution);
            - ``'pixelshuffledirect'``: one of them (light networks);
            - ``'nearest+conv'``: convolutions after enlarging by repeating pixels, which leaves no grid (real-world).
        group_convs: 1 or 3 convolutions behind the groups.
        num_features: Channels of a reconstruction with several convolutions.
        img_range: Images are multiplied by it.
        skip: ``'bicubic'`` adds the image enlarged by interpolation to the answer, whose last convolution begins with
            zeros: a small network then learns from the first step on what interpolation lacks. None in papers.

    Raises:
        ValueError: The options do not go together.
    """

    def __init__(
        self,
        layers: nn.ModuleList,
        embed_dim: int,
        multiple: int,
        scale: int,
        in_channels: int = 3,
        upsampler: Upsampler | None = 'pixelshuffle',
        group_convs: Literal[1, 3] = 1,
        num_features: int = 64,
        img_range: float = 1.,
        skip: Literal['bicubic'] | None = None,
    ) -> None:
        super().__init__(scale, in_channels)
        _check(scale, upsampler, group_convs, skip)
        self.multiple, self.upsampler, self.img_range, self.skip = multiple, upsampler, img_range, skip
        self.embed_dim = embed_dim
        self.conv_first = conv3(in_channels, embed_dim)
        self.patch_embed = _Embedding(embed_dim)
        self.layers = initialised(layers)
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = end_convs(embed_dim, group_convs)
        self._build_reconstruction(embed_dim, num_features)
        if skip:
            last = self.upsample[0] if upsampler == 'pixelshuffledirect' else self.conv_last
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def _build_reconstruction(self, embed_dim: int, width: int) -> None:
        if self.upsampler is None:
            self.conv_last = conv3(embed_dim, self.in_channels)
            return
        if self.upsampler == 'pixelshuffledirect':
            self.upsample = nn.Sequential(conv3(embed_dim, self.scale**2 * self.in_channels),
                                          nn.PixelShuffle(self.scale))
            return
        self.conv_before_upsample = nn.Sequential(conv3(embed_dim, width), nn.LeakyReLU())
        if self.upsampler == 'pixelshuffle':
            self.upsample = shuffles(self.scale, width)
        else:
            self.conv_up1 = conv3(width, width)
            if self.scale == 4:
                self.conv_up2 = conv3(width, width)
            self.conv_hr = conv3(width, width)
        self.conv_last = conv3(width, self.in_channels)

    def feature_stages(self) -> list[Stage]:
        """The groups."""
        return [Stage(layer, self.embed_dim, channels_last=True) for layer in self.layers]

    def context(self, features: Tensor) -> Sequence[Tensor]:
        """What all groups share, such as the parts of moved windows, for (B, C, H, W) features of whole multiples."""
        return ()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] to (B, C, scale * H, scale * W)."""
        size = images.shape[-2:]
        padded = self.padded(images)
        restored = self.reconstruct(self.features(padded)) / self.img_range + self.mean
        if self.upsampler is None:
            restored = restored + padded - self.mean
        if self.skip:
            restored = restored - self.mean + F.interpolate(padded, scale_factor=self.scale, mode='bicubic')
        return crop(restored, (size[0] * self.scale, size[1] * self.scale))

    def padded(self, images: Tensor) -> Tensor:
        """Images with whole windows."""
        return mirror_to_multiple(images, self.multiple)

    def features(self, padded: Tensor) -> Tensor:
        """Shallow and deep features (B, C, H, W) of padded images."""
        shallow = self.conv_first((padded - self.mean) * self.img_range)
        return self.conv_after_body(self.deep_features(shallow)) + shallow

    def deep_features(self, features: Tensor, layers: nn.ModuleList | None = None) -> Tensor:
        """(B, C, H, W) through all groups, or through those of a second branch."""
        context = self.context(features)
        x = self.patch_embed(features)
        for layer in self.layers if layers is None else layers:
            x = layer(x, *context)
        return self.norm(x).permute(0, 3, 1, 2)

    def reconstruct(self, features: Tensor) -> Tensor:
        """(B, C, H, W) features to images at the full scale; for a scale of 1, what is added to the image."""
        if self.upsampler is None:
            return self.conv_last(features)
        if self.upsampler == 'pixelshuffledirect':
            return self.upsample(features)
        features = self.conv_before_upsample(features)
        if self.upsampler == 'pixelshuffle':
            return self.conv_last(self.upsample(features))
        for conv in (self.conv_up1, *([self.conv_up2] if self.scale == 4 else [])):
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2., mode='nearest')), .2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), .2))


def shuffles(scale: int, channels: int) -> nn.Sequential:
    """Convolutions and pixel shuffles (Shi et al., arXiv:1609.05158) that enlarge by 2 each, or by 3 at once.

    Raises:
        ValueError: The scale is neither a power of 2 nor 3.
    """
    if scale != 3 and (scale < 1 or scale & (scale - 1)):
        raise ValueError(f'scale={scale}: give a power of 2, or 3')
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    return nn.Sequential(*(part for factor in factors
                           for part in (conv3(channels, factor**2 * channels), nn.PixelShuffle(factor))))


def heads_of_groups(num_heads: int | Sequence[int], groups: int, dim: int) -> tuple[int, ...]:
    """One number of heads for each group.

    Raises:
        ValueError: There are more or fewer of them than groups, or one does not divide the channels.
    """
    heads = (num_heads, ) * groups if isinstance(num_heads, int) else tuple(num_heads)
    if len(heads) != groups:
        raise ValueError(f'num_heads has {len(heads)} numbers and depths {groups}: give one number, or as many')
    for each in heads:
        if dim % each:
            raise ValueError(f'embed_dim={dim} is no multiple of num_heads={each}: change one of them')
    return heads


def _check(scale: int, upsampler: str | None, group_convs: int, skip: str | None) -> None:
    if upsampler not in (None, 'pixelshuffle', 'pixelshuffledirect', 'nearest+conv'):
        raise ValueError(f"upsampler='{upsampler}': choose pixelshuffle, pixelshuffledirect, nearest+conv or None")
    if upsampler is None and scale != 1:
        raise ValueError(f"scale={scale} needs an upsampler: 'pixelshuffle', 'pixelshuffledirect' or 'nearest+conv'")
    if upsampler == 'nearest+conv' and scale not in (2, 4):
        raise ValueError(f"scale={scale}: upsampler='nearest+conv' has a scale of 2 or 4")
    if group_convs not in (1, 3):
        raise ValueError(f'group_convs={group_convs}: give 1 or 3')
    if skip not in (None, 'bicubic') or (skip and upsampler is None):
        raise ValueError(f"skip='{skip}': give None, or 'bicubic' with an upsampler")
