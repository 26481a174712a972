"""Which image sizes the families of timm take, and which of their levels lie on a grid of strides."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from timm.layers import to_2tuple
from timm.models import crossvit, maxxvit, pit, swin_transformer, swin_transformer_v2, swin_transformer_v2_cr
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn

from .contract import pad_to_multiple

SWINS = frozenset({'swin_transformer', 'swin_transformer_v2', 'swin_transformer_v2_cr'})
# Multiples of pixels that a family needs where that is less than its coarsest stride: its further levels round up by
# themselves, as those of the networks that were trained for detection do.
_MULTIPLES = dict.fromkeys((
    'cpubone', 'cspnet', 'cspnext', 'davit', 'dpn', 'efficientnet', 'efficientvim', 'efficientvit_mit',
    'efficientvit_msra', 'fastvit', 'ghostnet', 'hgnet', 'iformer', 'lcnetv2', 'lowformer', 'mambaout', 'mobilenetv3',
    'mobilenetv5', 'nextvit', 'nfnet', 'pvt_v2', 'regnet', 'repghost', 'repvit', 'resnet', 'resnetv2', 'rexnet',
    'selecsls', 'shvit', 'starnet', 'swiftformer', 'tiny_vit', 'xception_aligned', 'xcit'), 1)
_MULTIPLES |= dict.fromkeys(('metaformer', 'senet', *SWINS), 4)
# Said to have a fixed size by timm's configuration, though nothing in the networks has one.
_FREE = frozenset({'efficientvit_msra', 'sequencer', 'swiftformer', 'twins', 'xcit', *SWINS})
# Levels whose maps do not lie on a grid of their stride, all of them for None: convolutions without padding, or images
# that are resized inside.
_OFF_GRID: dict[str, tuple[int, ...] | None] = dict(
    crossvit=(3, 4, 5), inception_resnet_v2=None, inception_v3=None, inception_v4=None, nasnet=(0, ), pnasnet=(0, ),
    xception=None)
# Levels whose stride timm's feature_info has wrong.
_STRIDES = dict(tresnet={0: 4})


@dataclass(frozen=True)
class Level:
    """A feature map that a timm model gives: its index in ``feature_info``, channels, and stride in pixels."""
    index: int
    channels: int
    stride: int


@dataclass(frozen=True)
class SizeRule:
    """The image sizes that a network takes.

    Attributes:
        multiple: Height and width are padded to multiples of these.
        limit: Largest height and width; None for any.
        step: What a larger limit has to be a multiple of; 0 if the network can be built for this one only.
    """
    multiple: tuple[int, int]
    limit: tuple[int, int] | None = None
    step: int = 0

    def pad(self, images: Tensor) -> Tensor:
        """Zeros at the right and bottom of (B, C, H, W).

        Raises:
            ValueError: The images are larger than what the network was built for.
        """
        height, width = images.shape[-2:]
        if self.limit is not None and (height > self.limit[0] or width > self.limit[1]):
            raise ValueError(f'images of {height} x {width} pixels: the positions of this backbone end at '
                             f'{self.limit[0]} x {self.limit[1]}; {self._remedy(height, width)}')
        return images if self.multiple == (1, 1) else pad_to_multiple(images, self.multiple)

    def _remedy(self, *size: int) -> str:
        if not self.step:
            return 'no other size can be built: resize the images or take another backbone'
        margins = (multiple - limit for multiple, limit in zip(self.multiple, self.limit, strict=True))
        sizes = (-(-(side + margin) // self.step) * self.step for side, margin in zip(size, margins, strict=True))
        return f'give img_size={tuple(sizes)} or more at construction'


def family(model: nn.Module) -> str:
    """The timm module that defines a model: 'swin_transformer'."""
    return type(model).__module__.rpartition('.')[2]


def levels_on_grid(model: nn.Module) -> list[Level]:
    """Feature maps that a dense head can use.

    Raises:
        TypeError: The model has none.
    """
    name = family(model)
    off_grid = _OFF_GRID.get(name, ())
    if off_grid is None:
        raise TypeError(f'the maps of {type(model).__name__} do not lie on a grid of strides (its convolutions have no '
                        'padding); take another backbone')
    infos = getattr(model, 'feature_info', None)
    if not infos or not hasattr(model, 'forward_intermediates'):
        raise TypeError(f'{type(model).__name__} has no forward_intermediates in the installed timm; upgrade timm '
                        '(pip install -U timm) or take another backbone')
    strides = _STRIDES.get(name, {})
    return [Level(index, info['num_chs'], strides.get(index, info['reduction'])) for index, info in enumerate(infos)
            if index not in off_grid]


def size_rule(model: nn.Module, levels: Sequence[Level], img_size: int | tuple[int, int] | None) -> SizeRule:
    """The image sizes that a timm model takes.

    Args:
        model: The network, built.
        levels: The levels that :func:`levels_on_grid` found.
        img_size: What it was built for, if that was asked for.

    Raises:
        ValueError: It cannot be built for ``img_size``.
    """
    name = family(model)
    coarsest = math.lcm(*(level.stride for level in levels))
    size = to_2tuple(img_size if img_size is not None else model.default_cfg['input_size'][-2:])
    if name == 'efficientformer':  # 7 x 7 tokens, whatever img_size
        fixed = to_2tuple(32 * 7)
        if img_size is not None and size != fixed:
            raise ValueError(f'{type(model).__name__} is built for {fixed[0]} x {fixed[1]} pixels; leave out img_size')
        return SizeRule(fixed, fixed)
    is_fixed = name not in _FREE and model.default_cfg.get('fixed_input_size', False)
    if not is_fixed:
        return SizeRule(to_2tuple(_MULTIPLES.get(name, _blocks(model) * coarsest)))
    if img_size is not None and any(side % coarsest for side in size):
        raise ValueError(f'img_size={img_size}: {type(model).__name__} needs multiples of its coarsest stride, '
                         f'{coarsest}; give {tuple(-(-side // coarsest) * coarsest for side in size)}')
    if isinstance(model, maxxvit.MaxxVit) and not any(isinstance(m, maxxvit.TransformerBlock2d)
                                                      for m in model.modules()):
        return SizeRule(size)  # windows and grids of 1/32 of img_size, as many as there are
    if isinstance(model, pit.PoolingVisionTransformer):  # its patches overlap and are not padded
        embed = model.patch_embed
        return SizeRule(size, (embed.height * levels[0].stride, embed.width * levels[0].stride), coarsest)
    return SizeRule(size, size, coarsest)


def open_windows(model: nn.Module, shift_all: bool = True) -> None:
    """Let a Swin see images of any size as the authors' Swin for dense tasks does (arXiv:2103.14030).

    Args:
        model: A Swin of timm.
        shift_all: Let every second block shift its windows. timm drops the shift where the training image is one
            window, which in larger images would leave the windows of the last stage without exchange. The windows keep
            the sizes that the weights were trained with.
    """
    stages = model.stages if family(model) == 'swin_transformer_v2_cr' else model.layers
    model.patch_embed.dynamic_img_pad = True  # its check of the size, though never failing, would bind a compiled graph
    if shift_all:
        windows = [tuple(stage.blocks[0].window_size) for stage in stages]
        model.set_input_size(window_size=windows, always_partition=True)
    for stage in stages:
        for block in stage.blocks:  # timm has no argument for the kind of block
            block.__class__ = _PADDED_FIRST.get(type(block), type(block))


def _fill_windows(x: Tensor, window_size: tuple[int, int]) -> Tensor:
    """Zeros at the right and bottom of (B, H, W, C) up to whole windows, before they shift.

    timm shifts first: in a map that is no whole number of windows, tokens of opposite edges would then meet in one
    region of its attention mask.
    """
    return F.pad(x, (0, 0, 0, -x.shape[2] % window_size[1], 0, -x.shape[1] % window_size[0]))


class _SwinBlock(swin_transformer.SwinTransformerBlock):

    def _attn(self, x: Tensor) -> Tensor:
        return super()._attn(_fill_windows(x, self.window_size))[:, :x.shape[1], :x.shape[2]]


class _SwinV2Block(swin_transformer_v2.SwinTransformerV2Block):

    def _attn(self, x: Tensor) -> Tensor:
        return super()._attn(_fill_windows(x, self.window_size))[:, :x.shape[1], :x.shape[2]]


class _SwinV2CrBlock(swin_transformer_v2_cr.SwinTransformerV2CrBlock):

    def _shifted_window_attn(self, x: Tensor) -> Tensor:
        return super()._shifted_window_attn(_fill_windows(x, self.window_size))[:, :x.shape[1], :x.shape[2]]


_PADDED_FIRST = {block.__base__: block for block in (_SwinBlock, _SwinV2Block, _SwinV2CrBlock)}


def leave_out_unused(model: nn.Module) -> None:
    """Take parameters out of training that no returned map depends on and that timm's pruning leaves in."""
    if isinstance(model, crossvit.CrossVit):  # the second branch is read by the first one, up to the last block
        last = model.blocks[-1]
        for part in (model.norm, last.projs[1], last.fusion[1], last.revert_projs[1]):
            part.requires_grad_(False)
    elif isinstance(model, EfficientNetFeatures):  # it keeps all stages, whose names checkpoints have
        last = max(level['stage'] for level in model.feature_info.get_dicts())
        model.blocks[last:].requires_grad_(False)


def _blocks(model: nn.Module) -> int:
    """Tokens along the side of a block of attention, which has to fill the coarsest map; 1 for none.

    HaloNet and BAT have blocks of 8; MobileViT has patches of 2 and would resize its maps to whole ones.
    """
    sizes = [getattr(module, 'block_size', 0) for module in model.modules()]
    sizes += [max(to_2tuple(module.patch_size)) for module in model.modules() if 'MobileVit' in type(module).__name__]
    return max(*sizes, 1)
