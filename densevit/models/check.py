"""Whether the neck and heads of an OpenMMLab model fit a backbone of ours.

OpenMMLab's models learn that two parts do not go together in the first forward pass, in the words of a convolution, or,
if it is the strides of anchors, never.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

from torch import nn

from ..adapters import SimpleFeaturePyramid
from ..adapters.interacting import InteractingAdapter
from ..backbones import Backbone
from .expectations import Maps, channel_mismatches, maps_of_neck, stride_mismatches

_HEADS = ('decode_head', 'auxiliary_head', 'bbox_head', 'rpn_head', 'roi_head', 'mask_head', 'panoptic_head')
_STOCK = ('mmdet', 'mmseg')


def check_model(model: nn.Module) -> None:
    """Compare a :class:`Backbone` of ours with the neck and heads that OpenMMLab's models put around it.

    Compared are, wherever a module has a ``backbone`` and a method ``extract_feat``, its children ``neck``,
    ``decode_head``, ``auxiliary_head``, ``bbox_head``, ``rpn_head``, ``roi_head``, ``mask_head`` and ``panoptic_head``:
    channels and the number of maps, and strides where boxes are placed by them. What a part does not tell is not
    compared. A mismatch of code that is not mmdetection's or mmsegmentation's, which may read the maps in other ways,
    is a warning. So are maps with parameters of their own that a neck leaves out: one process trains, several do not.

    Args:
        model: The whole model, also in a wrapper or as a part of another. Any other module passes.

    Raises:
        ValueError: A part does not fit; the message has the key of the config to set.
    """
    for module in model.modules():
        backbone = getattr(module, 'backbone', None)
        if isinstance(backbone, Backbone) and hasattr(module, 'extract_feat'):
            for name in ('neck', *_HEADS):
                for key, part in _parts(name, getattr(module, name, None)):
                    _check_part(module, backbone, key, part)


def _parts(name: str, part: nn.Module | None) -> Iterator[tuple[str, nn.Module]]:
    """A neck or head with its key: of necks one behind the other the first, of a list of heads each."""
    if isinstance(part, nn.ModuleList):
        yield from ((name, each) for each in part)
    elif isinstance(part, nn.Sequential) and len(part):
        yield f'{name}.0', part[0]
    elif part is not None:
        yield name, part


def _check_part(model: nn.Module, backbone: Backbone, key: str, part: nn.Module) -> None:
    given = Maps(tuple(backbone.out_channels), tuple(backbone.strides))
    neck, is_neck = getattr(model, 'neck', None), key.startswith('neck')
    mismatches = list(channel_mismatches(part, given)) if is_neck or neck is None else []
    # CondInst's mask head has points on one map of a stride of its own.
    if not is_neck and key != 'mask_head' and (read := maps_of_neck(neck, given)) is not None:
        mismatches += stride_mismatches(part, read)
    for expected, remedy in mismatches:
        text = (f'densevit.{type(backbone).__name__} gives {given}, but {type(part).__name__} expects {expected}; set '
                f'model.{key}.{remedy}')
        if _is_stock(type(model).extract_feat) and _is_stock(type(part).forward):
            raise ValueError(text)
        warnings.warn(text, stacklevel=3)
    if is_neck and not mismatches:
        _warn_of_unread_maps(backbone, key, part)


def _is_stock(function: Callable) -> bool:
    return function.__module__.split('.')[0] in _STOCK


def _warn_of_unread_maps(backbone: Backbone, key: str, neck: nn.Module) -> None:
    """``DistributedDataParallel`` refuses to train with parameters that get no gradient."""
    count = len(backbone.strides)
    start, stop = getattr(neck, 'start_level', 0), getattr(neck, 'backbone_end_level', count)
    read = range(count)[start:stop]
    parts = [_own_part(backbone, index) for index in range(count)]
    read_parts = [parts[index] for index in read]
    unread = [str(index) for index, part in enumerate(parts) if part is not None
              and not any(part is other for other in read_parts)
              and any(parameter.requires_grad for parameter in part.parameters())]
    if not read or not unread:
        return
    if isinstance(backbone, SimpleFeaturePyramid):
        scales = tuple(backbone.vit.stride / backbone.strides[index] for index in read if index < len(backbone.levels))
        settings = [f'model.backbone.scale_factors={scales}']
    else:
        settings = [f'model.backbone.out_indices={tuple(backbone.out_indices[index] for index in read)}']
    settings.append(f'model.{key}.in_channels={[backbone.out_channels[index] for index in read]}')
    settings += [f'model.{key}.start_level=0'] if start else []
    settings += [f'model.{key}.end_level=-1'] if stop < count else []
    maps = f'map {read[0]}' if len(read) == 1 else f'maps {read[0]} to {read[-1]}'
    warnings.warn(
        f'{type(neck).__name__} reads {maps} of densevit.{type(backbone).__name__} alone; parameters of '
        f'{"map" if len(unread) == 1 else "maps"} {", ".join(unread)} get no gradient, which DistributedDataParallel '
        f'refuses: set {", ".join(settings[:-1])} and {settings[-1]}', stacklevel=4)


def _own_part(backbone: Backbone, index: int) -> nn.Module | None:
    """The part that no other map needs; for the top block of a simple pyramid, that of the map below."""
    if isinstance(backbone, SimpleFeaturePyramid):
        return backbone.levels[min(index, len(backbone.levels) - 1)]
    if isinstance(backbone, InteractingAdapter):
        return getattr(backbone, f'norm{backbone.out_indices[index] + 1}')
    norms = getattr(backbone, 'norms', ())
    return norms[index] if norms else None
