"""Whether the neck and heads of an OpenMMLab model fit the backbone, told when the model is built.

OpenMMLab's models learn that two parts do not go together in the first forward pass, in the words of a convolution, or,
if it is the strides of anchors, never. Here each part is compared with the backbone as the model takes it up: PyTorch
calls a hook whenever a module gets a child.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ..backbones import Backbone
from .expectations import Maps, Mismatch, check_channels, check_strides, maps_of_neck
from .unread_maps import unread_maps

_HEADS = ('decode_head', 'auxiliary_head', 'bbox_head', 'rpn_head', 'roi_head', 'mask_head', 'panoptic_head')
_STOCK = ('mmdet', 'mmseg')
# A model and the name under which it holds a list of heads, which it fills one by one.
_lists: WeakKeyDictionary[nn.Module, tuple[ReferenceType[nn.Module], str]] = WeakKeyDictionary()
_installed: list[object] = []


def check_wiring() -> None:
    """From now on, a model with a :class:`Backbone` of ours is compared with its neck and heads as it is built.

    A model is a module with a child ``backbone`` and a method ``extract_feat``; compared are its children ``neck``,
    ``decode_head``, ``auxiliary_head``, ``bbox_head``, ``rpn_head``, ``roi_head``, ``mask_head`` and ``panoptic_head``:
    channels and the number of maps, and strides where boxes are placed by them. What a part does not tell is not
    compared. A mismatch is a ValueError where both the model's ``extract_feat`` and the part's ``forward`` are those of
    mmdetection or mmsegmentation, and a warning where they are not, since others may read the maps in other ways.
    A neck that leaves out maps with parameters of their own is a warning: one process trains, several do not.

    Other modules cost the look-up of a name when they are built, and nothing when they run.
    """
    if not _installed:
        _installed.append(register_module_module_registration_hook(_check_child))


def _check_child(parent: nn.Module, name: str, child: nn.Module | None) -> None:
    model: nn.Module | None = parent
    if isinstance(parent, nn.ModuleList) and parent in _lists:
        reference, name = _lists[parent]
        model = reference()
    backbone = None if model is None else model._modules.get('backbone')
    if not isinstance(backbone, Backbone) or not hasattr(model, 'extract_feat'):
        return
    if name == 'neck' or name in _HEADS:
        if isinstance(child, nn.ModuleList):
            _lists[child] = (ref(model), name)
        for part in child if isinstance(child, nn.ModuleList) else (child, ):
            _check_part(model, backbone, name, part)


def _check_part(model: nn.Module, backbone: Backbone, name: str, part: nn.Module | None) -> None:
    given = Maps(tuple(backbone.out_channels), tuple(backbone.strides))
    neck = model._modules.get('neck')
    if isinstance(part, nn.Sequential) and len(part):  # necks one behind the other
        part, name = part[0], f'{name}.0'
    mismatches = [] if part is None else list(_mismatches(given, neck, name, part))
    for mismatch in mismatches:
        text = (f'densevit.{type(backbone).__name__} gives {given}, but {type(part).__name__} expects '
                f'{mismatch.expected}; set model.{name}.{mismatch.remedy}')
        if not (_is_stock(type(model).extract_feat) and _is_stock(type(part).forward)):
            warnings.warn(text, stacklevel=2)
        else:
            raise ValueError(text)
    if part is not None and name.partition('.')[0] == 'neck' and not mismatches:
        text = unread_maps(backbone, name, part)
        if text is not None:
            warnings.warn(text, stacklevel=2)


def _mismatches(given: Maps, neck: nn.Module | None, name: str, part: nn.Module) -> Iterator[Mismatch]:
    is_neck = name.partition('.')[0] == 'neck'
    if is_neck or neck is None:
        yield from check_channels(part, given)
    # CondInst's mask head has points on one map of a stride of its own.
    if not is_neck and name != 'mask_head' and (read := maps_of_neck(neck, given)) is not None:
        yield from check_strides(part, read)


def _is_stock(function: Callable) -> bool:
    return function.__module__.split('.')[0] in _STOCK
