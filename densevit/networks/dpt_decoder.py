"""The decoder of DPT, Vision Transformers for Dense Prediction (arXiv:2103.13413, section 3.1), for any task."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..backbones import PlainViT
from ..backbones.contract import Backbone
from ..layers import SyncBatchNorm, resize_bilinear

Readout = Literal['ignore', 'add', 'project']
Unit = Literal['residual', 'large_kernel']
NUM_LEVELS = 4


class DPTDecoder(nn.Module):
    """Four levels of a backbone to fused maps, each twice as fine as the one before.

    Levels of one stride s, a plain ViT's, are reassembled to strides s / 4, s / 2, s and 2 s. Levels of different
    strides keep them, as those of Swin do in MiDaS 3.1 (arXiv:2307.14460), and as the two of DPT-Hybrid that come from
    the ViT's stem do (section 3.1): of strides 4, 8, 16 and 16 the last two are reassembled, to 16 and 32.

    Args:
        in_channels, strides: Channels and strides of the four levels, finest first where they differ.
        channels: Widths of the reassembled levels; the others keep theirs. None reassembles no level: all are fused at
            the strides that they have, so that the two of 16 above both stay there.
        width: Channels of the fused maps.
        readout: What becomes of the class token, which belongs to no patch: nothing, it is added to each patch, or
            concatenated to each and projected.
        norm: Whether the residual units have batch norms, as in the authors' segmentation models.
        unit_bias: Whether the convolutions of the residual units have biases; None where they have no batch norms.
        doubles: How maps meet whose sides are odd numbers of patches. False: a fused map takes the size of the next
            finer level, as in MiDaS 3.1 and Depth Anything. True: it becomes twice as large, and the finer level is
            resized to it, as in DINOv2 and transformers. For even ones (images of whole multiples of twice the patch)
            there is no difference.
        unit: What refines maps before and after they are fused: ``'residual'``: two convolutions, as in DPT.
            ``'large_kernel'``: :class:`LargeKernelUnit`, which sees 21 by 21 pixels at once; it has no use for ``norm``
            and ``unit_bias``.

    Raises:
        ValueError: There are not four levels, ``readout`` is unknown or goes with strides that differ, or ``unit`` is.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        strides: Sequence[int],
        channels: Sequence[int] | None = (96, 192, 384, 768),  # of DPT-Base
        width: int = 256,
        readout: Readout = 'ignore',
        norm: bool = False,
        unit_bias: bool | None = None,
        doubles: bool = False,
        unit: Unit = 'residual',
    ) -> None:
        super().__init__()
        widths = in_channels if channels is None else channels
        if not len(in_channels) == len(strides) == len(widths) == NUM_LEVELS:
            raise ValueError(f'DPT reads {NUM_LEVELS} levels: give the backbone as many out_indices (it has '
                             f'{len(strides)}) and the head as many channels (it has {len(widths)})')
        if readout not in ('ignore', 'add', 'project'):
            raise ValueError(f"readout='{readout}': choose 'ignore', 'add' or 'project'")
        if unit not in ('residual', 'large_kernel'):
            raise ValueError(f"unit='{unit}': choose 'residual' or 'large_kernel'")
        self.readout = readout
        self.doubles = doubles
        self.reassemble: nn.ModuleList | None = None
        is_of_vit = [channels is not None and strides.count(stride) > 1 for stride in strides]
        if any(is_of_vit):
            scales = (4., 2., 1., .5)
            self.reassemble = nn.ModuleList(
                Reassemble(dim, out, scale, readout == 'project') if reassembled else nn.Identity()
                for dim, out, scale, reassembled in zip(in_channels, widths, scales, is_of_vit, strict=True))
        elif readout != 'ignore':
            raise ValueError(f"readout='{readout}' belongs to a plain ViT; leave it out")
        inside = [out if reassembled else dim
                  for dim, out, reassembled in zip(in_channels, widths, is_of_vit, strict=True)]
        self.project = nn.ModuleList(nn.Conv2d(dim, width, 3, padding=1, bias=False) for dim in inside)
        self.fusion = nn.ModuleList(Fusion(width, norm, level > 0, unit_bias, unit)
                                    for level in range(NUM_LEVELS))

    def forward(self, maps: Sequence[Tensor], class_tokens: Sequence[Tensor | None] | None = None) -> list[Tensor]:
        """Fused maps (B, width, h_i, w_i), coarsest first; the last is twice as fine as the finest level.

        Args:
            maps: (B, C_i, h_i, w_i), as ``in_channels`` says.
            class_tokens: (B, C_i) of each level, None of a stem's; or None if ``readout`` ignores them.
        """
        if self.reassemble is not None:
            tokens = [None] * len(maps) if self.readout == 'ignore' else class_tokens
            maps = [part(x, token) if isinstance(part, Reassemble) else x
                    for part, x, token in zip(self.reassemble, maps, tokens, strict=True)]
        maps = [project(x) for project, x in zip(self.project, maps, strict=True)][::-1]
        x, fused = None, []
        for index, (fusion, level) in enumerate(zip(self.fusion, maps, strict=True)):
            if self.doubles and x is not None:
                level = resize_bilinear(level, x.shape[-2:])
            is_last = index + 1 == len(maps)
            size = [2 * side for side in level.shape[-2:]] if self.doubles or is_last else maps[index + 1].shape[-2:]
            x = fusion(level, x, tuple(size))
            fused.append(x)
        return fused


def readout_of(backbone: Backbone, readout: Readout | None) -> Readout:
    """The readout that is asked for; None projects the class token where there is one.

    Raises:
        ValueError: It reads a class token that the backbone does not have, or a map of a stem looks like a block's.
    """
    is_vit = isinstance(backbone, PlainViT)
    if is_vit and backbone.strides.count(backbone.stride) > len(backbone.out_indices):
        raise ValueError(f'stem_out={backbone.stem_out} has a map of stride {backbone.stride}, which DPT would take '
                         'for one of the blocks: name finer ones')
    has_token = is_vit and backbone.has_class_token
    if readout is None:
        return 'project' if has_token else 'ignore'
    if readout != 'ignore' and not has_token:
        raise ValueError(f"readout='{readout}' needs a plain ViT with a class token; leave it out, or set "
                         "readout='ignore'")
    return readout


def read_levels(
    backbone: Backbone,
    readout: Readout,
    images: Tensor,
) -> tuple[Sequence[Tensor], Sequence[Tensor | None] | None]:
    """The maps of a backbone and, unless they are ignored, the class tokens: what :class:`DPTDecoder` reads."""
    if readout == 'ignore':
        return backbone(images), None
    levels = backbone.levels(images)
    tokens = [None] * len(backbone.stem_out) + [level.x[:, 0] for level in levels]
    return backbone.maps(levels, images.shape[-2:]), tokens


class Reassemble(nn.Module):
    """A ViT's patches as a map of another stride: (B, D, h, w) to (B, C, scale h, scale w).

    Args:
        dim: D.
        channels: C.
        scale: 4, 2, 1 or 0.5; an odd side is halved upwards.
        project: Whether the class token is concatenated to each patch and projected; otherwise it is added if given.
    """

    def __init__(self, dim: int, channels: int, scale: float, project: bool) -> None:
        super().__init__()
        self.readout = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU()) if project else None
        self.project = nn.Conv2d(dim, channels, 1)
        if scale > 1:
            self.resize = nn.ConvTranspose2d(channels, channels, int(scale), stride=int(scale))
        elif scale < 1:
            self.resize = nn.Conv2d(channels, channels, 3, stride=round(1 / scale), padding=1)
        else:
            self.resize = nn.Identity()

    def forward(self, x: Tensor, class_token: Tensor | None = None) -> Tensor:
        if class_token is not None:
            token = class_token[:, :, None, None].expand_as(x)
            if self.readout is None:
                x = x + token
            else:
                x = self.readout(torch.cat((x, token), 1).movedim(1, -1)).movedim(-1, 1)
        return self.resize(self.project(x))


class Fusion(nn.Module):
    """RefineNet's fusion of a level with what coarser ones gave (arXiv:1611.06612), without chained pooling.

    Args:
        width: Channels.
        norm: Whether the residual units have batch norms.
        skip: False for the coarsest level, which is fused with nothing.
        unit_bias: Whether the convolutions of the residual units have biases; None where they have no batch norms.
        unit: See :class:`DPTDecoder`.
    """

    def __init__(
        self,
        width: int,
        norm: bool,
        skip: bool,
        unit_bias: bool | None = None,
        unit: Unit = 'residual',
    ) -> None:
        super().__init__()
        bias = not norm if unit_bias is None else unit_bias

        def made() -> nn.Module:
            return LargeKernelUnit(width) if unit == 'large_kernel' else ResidualUnit(width, norm, bias)

        self.skip = made() if skip else None
        self.refine = made()
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, coarser: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Fuse (B, width, h, w) with what coarser levels gave, and resize to (B, width, *size)."""
        x = level if self.skip is None else coarser + self.skip(level)
        # Between the centres of the corners, as all weights of DPT were trained.
        return self.project(resize_bilinear(self.refine(x), size, align_corners=True))


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions behind their activations."""

    def __init__(self, width: int, norm: bool, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm1 = SyncBatchNorm(width) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.norm2 = SyncBatchNorm(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inside = self.norm1(self.conv1(x.relu()))
        return x + self.norm2(self.conv2(inside.relu()))


class LargeKernelUnit(nn.Module):
    """Attention by a large kernel around a residual (Visual Attention Network, arXiv:2202.09741, section 3.1).

    A convolution of 21 by 21 is made of one of 5 by 5, one of 7 by 7 with steps of 3, both of each channel alone, and
    one of 1 by 1; what it gives is multiplied with what it saw (equations 1 and 2). Decoders of self-supervised depth
    use it (arXiv:2409.17895), for how far away something is depends on much around it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = SyncBatchNorm(width)
        self.inside = nn.Conv2d(width, width, 1)
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, dilation=3, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.outside = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = nn.functional.gelu(self.inside(self.norm(x)))
        return x + self.outside(self.mix(self.far(self.near(seen))) * seen)
