"""MAT (Li et al., Mask-Aware Transformer for Large Hole Image Inpainting, arXiv:2203.15270): fills what a mask marks.

A convolutional head makes tokens at an eighth of the resolution (section 3.2), five stages of adjusted transformer
blocks let what is hidden be made of what is visible alone (section 3.3), and convolutions with skips from the head lead
back to the full size.

This is written from the paper; the authors' code is for non-commercial use and was not looked at, and their checkpoints
do not load. Of the paper's network, the manipulation of style, by which one picture has many answers, and the U-net
that refines the first answer are not here: this network gives one answer, which follows from the visible pixels. What
the paper leaves open is decided here: a token is valid from the beginning if a pixel of its square is visible, and
where the resolution changes, if one of those that it is made of was. The 180 channels of the defaults are the paper's;
their depths, windows, heads and width of MLPs were not checked against it.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import crop
from .base import RestorationNetwork
from .hole_loss import HoleLoss
from .stages import Stage
from .windows import from_windows, to_windows

STAGES = 5
# Section 3.3.2: what is added to the logits of invalid tokens.
TAU = 100.
# Holes of up to 2^7 pixels are reached by interpolation; what is left has the mean of the visible pixels.
_PYRAMID_LEVELS = 7
_SLOPE = .2


class ContextualAttention(nn.Module):
    """MCA (section 3.3.2): attention within windows, to valid tokens alone as long as a window has one.

    The logits are ``(Q K^T + M') / sqrt(d)``, where ``M'`` is 0 for a valid token and -100 for an invalid one. Then all
    tokens of a window that has a valid one are valid. Windows of every other block are shifted by half of a window;
    they go beyond the map, where nothing attends to anything, so that all tokens of a window are neighbours.

    Args:
        dim: Channels C.
        num_heads: The number of heads.
        window_size: Side of the windows in tokens.
        shift: By how many tokens the windows are moved up and to the left; below ``window_size``.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int, shift: int = 0) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.shift = num_heads, window_size, shift
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Attend over a map.

        Args:
            x: (B, H, W, C) tokens of any height and width.
            valid: (B, H, W, 1) bool, which of them are made of visible pixels.

        Returns:
            (B, H, W, C), and which tokens are valid now, (B, H, W, 1).
        """
        size, sides = x.shape[1:3], (self.window_size, self.window_size)
        padded = [(side + self.shift + self.window_size - 1) // self.window_size * self.window_size for side in size]
        around = (0, 0, self.shift, padded[1] - size[1] - self.shift, self.shift, padded[0] - size[0] - self.shift)

        def windows(tokens: Tensor) -> Tensor:
            return to_windows(F.pad(tokens, around), sides)

        def unwindowed(tokens: Tensor) -> Tensor:
            # A copy, where a slice may be all of the map or not, which torch.export would have to choose.
            return F.pad(from_windows(tokens, sides, (padded[0], padded[1])), [-count for count in around])

        q, k, v = windows(self.qkv(x)).unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)
        scale = q.shape[-1]**-.5
        is_valid = windows(valid)  # (B, windows, N, 1)
        is_inside = windows(torch.ones_like(valid[:1]))  # every window has a token of the map
        bias = torch.where(is_valid, 0., -TAU * scale).masked_fill(~is_inside, float('-inf')).to(q.dtype)
        attended = F.scaled_dot_product_attention(q, k, v, bias.unsqueeze(2).transpose(3, 4))
        is_valid = is_valid.any(2, keepdim=True).expand_as(is_valid)
        return self.proj(unwindowed(attended.transpose(2, 3).flatten(3))), unwindowed(is_valid)


class AdjustedBlock(nn.Module):
    """A block without norms or sums (section 3.3.1, equations 1 and 2): ``MLP(FC([MCA(X), X]))``.

    A norm would enlarge tokens that hold nothing yet, and sums favour details where there is nothing below them.

    Args:
        dim, num_heads, window_size, shift: See :class:`ContextualAttention`.
        mlp_ratio: Width of the MLP as a multiple of C.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int, shift: int, mlp_ratio: float) -> None:
        super().__init__()
        self.attn = ContextualAttention(dim, num_heads, window_size, shift)
        self.fuse = nn.Linear(2 * dim, dim)
        hidden = round(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(_SLOPE), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ContextualAttention.forward`."""
        attended, valid = self.attn(x, valid)
        return self.mlp(self.fuse(torch.cat((attended, x), -1))), valid


class BodyStage(nn.Module):
    """Blocks at one resolution, then a 3x3 convolution and a sum around all; the convolution knows of places.

    Args:
        dim, num_heads, window_size, mlp_ratio: See :class:`AdjustedBlock`.
        depth: The number of blocks.
    """

    def __init__(self, dim: int, depth: int, num_heads: int, window_size: int, mlp_ratio: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            AdjustedBlock(dim, num_heads, window_size, index % 2 * (window_size // 2), mlp_ratio)
            for index in range(depth))
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and (B, 1, H, W) bool to the same."""
        tokens, is_valid = x.permute(0, 2, 3, 1), valid.permute(0, 2, 3, 1)
        for block in self.blocks:
            tokens, is_valid = block(tokens, is_valid)
        return self.conv(tokens.permute(0, 3, 1, 2)) + x, is_valid.permute(0, 3, 1, 2)


class MAT(RestorationNetwork):
    """Fills the holes of images of any size.

    The last channel of an image tells which pixels are visible: above .5 they are, so that zeros beside an image, which
    others of a batch bring with them, are nothing to be seen. What the colours of hidden pixels are is never looked at.
    Nothing is resized or padded to whole windows but the tokens of each attention. ``torch.export`` holds sizes open if
    it is shown an image with several windows on each side at all resolutions and, with ``skip``, of more than 128
    pixels; the program then takes such images.

    Args:
        in_channels: Of the colours: 3 for RGB, 1 for grey images.
        dim: Channels of tokens and of the convolutions at an eighth of the resolution and below.
        widths: Channels of the convolutions at the full resolution, at half and at a quarter of it; ``dim`` if None.
        depths: Blocks of the five stages, whose strides are 8, 16, 32, 16 and 8.
        num_heads: Heads of attention.
        window_sizes: Sides of windows of the five stages in tokens.
        mlp_ratio: Width of the MLPs as a multiple of ``dim``.
        skip: ``'pyramid'`` fills holes by interpolation first, see :func:`pyramid_fill`; the network is shown this and
            adds to it, at first nothing. A small network then learns from the first step on what interpolation lacks.
            None, as in the paper: holes are shown as the mean colour.

    Raises:
        ValueError: The options do not go together.
    """
    takes_mask = True
    loss_class = HoleLoss

    def __init__(
        self,
        in_channels: int = 3,
        dim: int = 180,
        widths: Sequence[int] | None = None,
        depths: Sequence[int] = (2, 3, 4, 3, 2),
        num_heads: int = 6,
        window_sizes: Sequence[int] = (8, 16, 16, 16, 8),
        mlp_ratio: float = 1.,
        skip: Literal['pyramid'] | None = None,
    ) -> None:
        widths = (dim, ) * 3 if widths is None else tuple(widths)
        _check(dim, widths, depths, num_heads, window_sizes, skip)
        super().__init__(1, in_channels)
        self.in_channels, self.out_channels, self.skip = in_channels + 1, in_channels, skip
        channels = (*widths, dim)
        self.head = nn.ModuleList([nn.Conv2d(in_channels + 1, widths[0], 3, padding=1)])
        self.head.extend(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(channels))
        self.body = nn.ModuleList(
            BodyStage(dim, depth, num_heads, window, mlp_ratio)
            for depth, window in zip(depths, window_sizes, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(dim, dim, 3, stride=2, padding=1) for _ in range(2))
        self.up = nn.ModuleList(nn.Conv2d(2 * dim, dim, 3, padding=1) for _ in range(2))
        self.tail = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(coarse + fine, fine, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.Conv2d(fine, fine, 3, padding=1),
                nn.LeakyReLU(_SLOPE)) for fine, coarse in reversed(list(pairwise(channels))))
        self.conv_last = nn.Conv2d(widths[0], in_channels, 3, padding=1)
        self._init_weights()

    def _init_weights(self) -> None:
        """Without norms and sums, features keep their deviation through many layers by their weights alone."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, _SLOPE, nonlinearity='leaky_relu')
                nn.init.zeros_(module.bias)
        for module in self.modules():  # no ReLU follows these
            if isinstance(module, AdjustedBlock):
                for layer in (module.attn.qkv, module.attn.proj, module.fuse, module.mlp[-1]):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity='linear')
        if self.skip:
            nn.init.zeros_(self.conv_last.weight)

    def refusal(self, channels: int) -> str:
        """See :meth:`RestorationNetwork.refusal`."""
        return (f'MAT takes images of {self.in_channels} channels, the last of which tells the visible pixels, not '
                f'{channels} channels: give each image a mask, and set model.head.in_channels to the number of colours')

    def feature_stages(self) -> list[Stage]:
        """The convolutions that end the stages of the body."""
        return [Stage(stage.conv, stage.conv.out_channels) for stage in self.body]

    def forward(self, images: Tensor) -> Tensor:
        """(B, C + 1, H, W), colours in [0, 1] and which pixels are visible, to colours (B, C, H, W) of all pixels.

        What is visible is restored as well, more or less; a model puts the answer into the holes alone.

        Raises:
            ValueError: The images have another number of channels.
        """
        visible = images[:, self.out_channels:] > .5
        shown = torch.where(visible, images[:, :self.out_channels] - self.mean, 0.)
        if self.skip:
            shown = pyramid_fill(shown, visible)
        restored = self._restore(torch.cat((shown, visible.to(shown)), 1), visible)
        return (restored + shown if self.skip else restored) + self.mean

    def _restore(self, x: Tensor, visible: Tensor) -> Tensor:
        levels: list[Tensor] = []
        for index, conv in enumerate(self.head):
            levels.append(x)
            x = F.leaky_relu(conv(x), _SLOPE)
            visible = _halved(visible) if index else visible
        x = self._body(x, visible)
        # The first level is the image itself; each other one is what the head made at a resolution.
        for tail, level in zip(self.tail, [*reversed(levels[1:])], strict=True):
            x = tail(torch.cat((_doubled(x, level), level), 1))
        return self.conv_last(x)

    def _body(self, x: Tensor, valid: Tensor) -> Tensor:
        """Tokens (B, C, H, W) at an eighth of the resolution through all stages."""
        levels: list[Tensor] = []
        for stage, down in zip(self.body[:2], self.down, strict=True):
            x, valid = stage(x, valid)
            levels.append(x)
            x, valid = F.leaky_relu(down(x), _SLOPE), _halved(valid)
        x, valid = self.body[2](x, valid)
        for stage, up in zip(self.body[3:], self.up, strict=True):
            level = levels.pop()
            x, valid = torch.cat((_doubled(x, level), level), 1), _doubled(valid, level)
            x, valid = stage(F.leaky_relu(up(x), _SLOPE), valid)
        return x


def _halved(valid: Tensor) -> Tensor:
    """(B, 1, H, W) bool at half the resolution, rounded up: a token is valid if one of its four was."""
    return F.max_pool2d(valid.float(), 2, ceil_mode=True) > 0


def _doubled(x: Tensor, level: Tensor) -> Tensor:
    """(B, C, h, w) at the resolution of the next finer level, each value four times."""
    return crop(x.repeat_interleave(2, 2).repeat_interleave(2, 3), level.shape[2:])


@torch.no_grad()
def pyramid_fill(images: Tensor, visible: Tensor) -> Tensor:
    """Fill holes smoothly from what is around them: pull-push (Gortler et al., The Lumigraph, 1996, section 3.4).

    Means of visible pixels are taken over ever larger squares; each resolution is then completed by the next coarser
    one, interpolated. Holes of more than 128 pixels have the mean of all visible pixels in their middle.

    Args:
        images: (B, C, H, W).
        visible: (B, 1, H, W) bool.

    Returns:
        (B, C, H, W), the images where they are visible; zeros of an image without a visible pixel.
    """
    weight = visible.to(images)
    mean = (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)
    levels = [(torch.where(visible, images, mean), weight)]
    for _ in range(_PYRAMID_LEVELS):
        colors, weight = levels[-1]
        total = F.avg_pool2d(weight, 2, ceil_mode=True)
        pooled = F.avg_pool2d(colors * weight, 2, ceil_mode=True) / total.clamp(min=1e-6)
        levels.append((torch.where(total > 0, pooled, mean), (4 * total).clamp(max=1)))
    colors, weight = levels.pop()
    filled = colors * weight + mean * (1 - weight)
    for colors, weight in reversed(levels):
        coarse = F.interpolate(filled, colors.shape[-2:], mode='bilinear', align_corners=False)
        filled = torch.where(weight == 1, colors, colors * weight + coarse * (1 - weight))
    return filled


def _check(dim: int, widths: Sequence[int], depths: Sequence[int], num_heads: int, window_sizes: Sequence[int],
           skip: str | None) -> None:
    if len(depths) != STAGES or len(window_sizes) != STAGES:
        raise ValueError(f'MAT has {STAGES} stages: give as many depths and window_sizes, not {len(depths)} and '
                         f'{len(window_sizes)}')
    if len(widths) != 3:
        raise ValueError(f'widths={tuple(widths)} of MAT: give the channels at the full resolution, at half and at a '
                         'quarter of it')
    if dim % num_heads:
        raise ValueError(f'num_heads={num_heads} of MAT does not divide dim={dim}')
    if skip not in (None, 'pyramid'):
        raise ValueError(f"skip={skip!r} of MAT: give None or 'pyramid'")
