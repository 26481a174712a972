"""timm models as trunks: without classifier or pooling, for images of any size."""
from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torch
from timm.layers import HybridEmbed
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import nn

from ..contract import Backbone
from ..hiera import Hiera
from ..hiera_det import HieraDet
from ..options import Grid
from ..timm_models import create, defined_in
from ..timm_pyramid import TimmPyramid
from ..timm_sizes import SWINS, leave_out_unused
from .policies import WindowRequest
from .sam import GridBlock

PLAIN_VITS = (VisionTransformer, Eva, Beit, VisionTransformerSAM)
_NAMES = ', '.join(cls.__name__ for cls in PLAIN_VITS)
_OWN_STEMS = dict(hiera=Hiera, hieradet_sam2=HieraDet)
_FAMILIES = dict(vision_transformer_sam='sam', beit='beit')  # by timm's module; all others are 'vit'


def build_trunk(name: str | None, family: str, stem: dict[str, Any] | None, pretrained: bool, windows: WindowRequest,
                pos_embed_grid: Grid | None, kwargs: dict[str, Any]) -> nn.Module:
    """A timm model without classifier or pooling whose patch embedding takes any image size.

    Args:
        name: The name of a timm model; None to build one of ``family`` from explicit sizes.
        family: ``'vit'`` or ``'sam'``.
        stem: Arguments of :func:`build_stem`, the model's name as ``model_name``.
        pretrained: Whether to download timm's weights.
        windows: What a SAM trunk is built with; the others get their windows afterwards.
        pos_embed_grid: Grid of the stored positions. Other trunks than SAM's are built at that size, for nothing else
            in them depends on ``img_size``; SAM's has tables of relative positions for it.
        kwargs: Arguments of the model.

    Raises:
        ValueError: timm has no such model or cannot build it so, there is no such family, or there is no name to find
            weights by.
        TypeError: The model is no plain ViT.
        OSError: Its weights cannot be downloaded.
    """
    if pretrained and name is None and stem is None:
        raise ValueError("pretrained=True needs the name of one of timm's plain ViTs, such as "
                         "name='vit_small_patch16_224'; for sizes of your own give the weights as a checkpoint")
    if stem is not None:
        channels = {key: kwargs[key] for key in ('in_chans', ) if key in kwargs}  # the stem is what sees the image
        stem = build_stem(pretrained=pretrained, **channels | dict(stem))
        kwargs = dict(kwargs, embed_layer=partial(HybridEmbed, backbone=stem))
        kwargs.setdefault('patch_size', 1)
    try:
        trunk = _build(name, family if name is None else _FAMILIES.get(defined_in(name), 'vit'), pretrained, windows,
                       pos_embed_grid, kwargs)
    except AssertionError as error:
        without = (name or '').replace('_distilled', '')
        remedy = f'; take {without}, which can' if without != name and timm.is_model(without) else ''
        raise ValueError(f"timm cannot build {name or 'a plain ViT'} so: {error}{remedy}") from error
    if stem is not None:
        _check_ratio(trunk.patch_embed, stem_maps(stem)[1])
    if not isinstance(trunk, PLAIN_VITS):
        raise TypeError(f"timm's {name} is a {type(trunk).__name__} and not a plain ViT ({_NAMES})")
    return trunk


def build_stem(model_name: str = '', *, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A network of timm that gives several (B, C_i, h_i, w_i) maps, to stand before a plain ViT.

    Convolutional networks are read by timm. Those that it reads at one size only, or with channels last, are a
    backbone of ours: ``TimmPyramid`` (Swin, MaxViT ...), ``Hiera`` or ``HieraDet``.

    Args:
        model_name: The network.
        pretrained: Whether to download timm's weights.
        kwargs: ``out_indices`` and other arguments of ``timm.create_model``, or of the backbone.

    Raises:
        ValueError, TypeError, OSError: As :func:`create` and the backbones raise.
    """
    module = defined_in(model_name)
    config = timm.get_pretrained_cfg(model_name) if module else None
    if module in _OWN_STEMS:
        return _OWN_STEMS[module](model_name, pretrained=pretrained, **kwargs)
    if module in SWINS or (config is not None and config.fixed_input_size):
        return TimmPyramid(model_name, pretrained=pretrained, **kwargs)
    stem = create(model_name, pretrained, features_only=True, **kwargs)
    leave_out_unused(stem)
    return stem


def stem_maps(stem: nn.Module | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides in pixels of the maps of a stem, finest first; empty where it does not tell them."""
    if isinstance(stem, Backbone):
        return stem.out_channels, stem.strides
    info = getattr(stem, 'feature_info', None)
    if not hasattr(info, 'reduction'):  # a list in the stems of timm's own hybrids, which give their last map alone
        return (), ()
    return tuple(info.channels()), tuple(info.reduction())


def _check_ratio(embed: HybridEmbed, strides: tuple[int, ...]) -> None:
    """timm divides the size of an image by that of its map, which goes wrong where that is rounded."""
    if strides and set(embed.feature_ratio) != {strides[-1]}:
        raise ValueError(f'img_size={embed.img_size} with a stem: give whole multiples of {strides[-1]}, the stride of '
                         'its last map; images may be of any size')


def _build(name: str | None, family: str, pretrained: bool, windows: WindowRequest, pos_embed_grid: Grid | None,
           kwargs: dict[str, Any]) -> nn.Module:
    if family == 'sam':
        return _build_sam(name, pretrained, dict(kwargs, **windows.of_sam(partial(_depth, name, kwargs))))
    if family == 'beit':
        trunk = create(name, pretrained, num_classes=0, global_pool='', **kwargs)
        trunk.patch_embed.strict_img_size = False
        return trunk
    if family != 'vit':
        raise ValueError(f"family is 'vit' or 'sam' (or give the name of a timm model), not '{family}'")
    if pos_embed_grid is not None:
        kwargs = {key: value for key, value in kwargs.items() if key != 'img_size'}
    if name is None:
        if pos_embed_grid is not None:
            kwargs['img_size'] = tuple(side * kwargs.get('patch_size', 16) for side in pos_embed_grid)
        return VisionTransformer(num_classes=0, global_pool='', dynamic_img_size=True, **kwargs)
    try:
        return create(name, pretrained, num_classes=0, global_pool='', dynamic_img_size=True, **kwargs)
    except TypeError as error:
        if 'dynamic_img_size' not in str(error):
            raise
        raise TypeError(
            f"timm's {name}, of timm.models.{defined_in(name)}, is not a plain ViT ({_NAMES}); other networks run as "
            'densevit.TimmPyramid where docs/backbones_table.md lists their family') from error


def _depth(name: str | None, kwargs: dict[str, Any]) -> int:
    """Blocks of a SAM trunk that is not built yet."""
    with torch.device('meta'):
        sam = VisionTransformerSAM if name is None else partial(create, name, False)
        return len(sam(**kwargs).blocks)


def _build_sam(name: str | None, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
    if name is not None:
        trunk = create(name, pretrained, num_classes=0, block_fn=GridBlock, **kwargs)
    else:
        # The norms of SAM and ViTDet; timm's default differs.
        sizes = dict(dict(use_rel_pos=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)), **kwargs)
        trunk = VisionTransformerSAM(num_classes=0, block_fn=GridBlock, **sizes)
    trunk.patch_embed.strict_img_size = False
    trunk.neck = nn.Identity()
    return trunk
