"""Registers what is public in ``backbones``, ``adapters`` and the tasks of ``networks`` as OpenMMLab modules.

Nothing is listed here: a class that its package names in ``__all__`` is registered under its name, if it is a
:class:`Backbone` or a :class:`Network` and not a base class of a task (in its file ``base.py``). A task's folder in
``models`` may register a class of its own in the place of a network.

A registered backbone also takes ``init_cfg=dict(type='Pretrained', checkpoint=...)``: a path, a URL or the name of a
known model, under any of the names that :func:`densevit.load_weights` knows. It keeps those weights; mmengine's own
initialisation would overwrite them. With ``lora=dict(r=16, alpha=32)`` its blocks are frozen and learn by low-rank
adapters, see :func:`densevit.models.lora.add_lora`. Whether a model's neck and heads fit it is told by
:func:`densevit.check_model`.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from mmengine.logging import print_log
from timm.layers import LayerNorm2d
from torch import nn

from .. import adapters, backbones, networks
from ..backbones import Backbone
from ..networks.base import Network
from ..registry import MODELS
from ..weights.loading import load_weights
from .lora import add_lora

# What an adapter puts between the name of a layer and that of its parameter.
_INSIDE_ADAPTED = re.compile(r'\.(base_layer|lora_\w+(\.default)?)(?=\.|$)')
_backbones: dict[str, type[nn.Module]] = {}


class RegisteredBackbone:
    """Adds mmengine's ``init_cfg`` and ``init_weights`` to a backbone, and low-rank adapters."""

    def __init__(self, *args: Any, init_cfg: dict[str, Any] | None = None, lora: dict[str, Any] | None = None,
                 **kwargs: Any) -> None:
        _check_init_cfg(init_cfg)
        _check_pretrained(kwargs)
        super().__init__(*args, **kwargs)
        self.init_cfg = init_cfg
        if lora is not None:
            add_lora(self, **lora)

    def layer_index(self, name: str) -> int:
        return super().layer_index(_INSIDE_ADAPTED.sub('', name))

    def stage_index(self, name: str) -> int | None:
        return super().stage_index(_INSIDE_ADAPTED.sub('', name))

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``; the trunk has initialised itself otherwise."""
        if self.init_cfg is not None:
            report = load_weights(self, self.init_cfg['checkpoint'], prefix=self.init_cfg.get('prefix') or '')
            print_log(str(report), logger='current')


def _check_init_cfg(init_cfg: Any) -> None:
    """As mmengine's Pretrained, whose ``map_location`` makes no difference here."""
    if init_cfg is None:
        return
    if not isinstance(init_cfg, dict) or init_cfg.get('type') != 'Pretrained' or not init_cfg.get('checkpoint'):
        raise ValueError("init_cfg takes one dict(type='Pretrained', checkpoint=...), where to find the weights in it "
                         f"as prefix if need be, not {init_cfg}")
    if others := init_cfg.keys() - {'type', 'checkpoint', 'prefix', 'map_location'}:
        raise ValueError(f'init_cfg takes type, checkpoint, prefix and map_location; leave out {", ".join(others)}')


def _check_pretrained(kwargs: dict[str, Any]) -> None:
    """A name or path, which OpenMMLab's backbones take as ``pretrained``, where ours take a bool."""
    vit = kwargs.get('vit')
    for options in (kwargs, vit if isinstance(vit, dict) else {}):
        weights = options.get('pretrained')
        if isinstance(weights, str) and os.path.exists(weights):
            raise ValueError(f"pretrained='{weights}' is a file; leave it out and give the backbone "
                             f"init_cfg=dict(type='Pretrained', checkpoint='{weights}')")
        if isinstance(weights, str):
            raise ValueError(f"pretrained='{weights}' is of another backbone; set model.pretrained=None, and give ours "
                             "pretrained=True (timm's weights) or init_cfg=dict(type='Pretrained', checkpoint=...)")


def register_backbone(cls: type[nn.Module]) -> type[nn.Module]:
    """Register a backbone under its own name, with ``init_cfg`` and ``lora``.

    Returns:
        The class that configs build: it derives from ``cls``, has its name, and is pickled as an attribute of this
        module.
    """
    registered = type(cls.__name__, (RegisteredBackbone, cls),
                      {'__doc__': cls.__doc__, '__module__': __name__, '__qualname__': cls.__name__})
    MODELS.register_module(name=cls.__name__, module=registered)
    _backbones[cls.__name__] = registered
    return registered


def __getattr__(name: str) -> type[nn.Module]:
    """The class of a registered backbone, where pickle looks for it."""
    if name in _backbones:
        return _backbones[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def _tasks(package: ModuleType) -> list[ModuleType]:
    """The folders of a package, imported."""
    return [import_module(f'{package.__name__}.{folder.name}') for folder in iter_modules(package.__path__)
            if folder.ispkg]


def _public_classes(package: ModuleType, base: type[nn.Module]) -> Iterator[type[nn.Module]]:
    for value in map(package.__dict__.get, package.__all__):
        if isinstance(value, type) and issubclass(value, base) and value is not base:
            yield value


def _register_all() -> None:
    for package in (backbones, adapters):
        for cls in _public_classes(package, Backbone):
            register_backbone(cls)
    _tasks(import_module(__package__))  # which may have registered a class of their own for a network
    for task in _tasks(networks):
        for cls in _public_classes(task, Network):
            if cls.__module__ != f'{task.__name__}.base' and cls.__name__ not in MODELS.module_dict:
                MODELS.register_module(module=cls)
    # Over channels, at each pixel: the norm of ViTDet's heads, as norm_cfg=dict(type='densevit.LayerNorm2d').
    MODELS.register_module(module=LayerNorm2d)


_register_all()
