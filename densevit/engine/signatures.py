"""Which keys a config dict may have, read from the constructor of its type."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from mmengine import registry as registries
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import FlexibleRunner, LogProcessor, Runner
from timm import create_model
from timm.models import (
    ConvNeXt,
    PyramidVisionTransformerV2,
    ResNet,
    SwinTransformer,
    SwinTransformerV2,
    build_model_with_cfg,
)
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.hiera import Hiera as TimmHiera
from timm.models.hieradet_sam2 import HieraDet as TimmHieraDet
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import nn
from torch.utils.data import DataLoader

from ..adapters.adapter import Adapter
from ..backbones import Hiera, HieraDet, PlainViT, TimmPyramid
from ..backbones.timm_models import defined_in
from ..models.segmentation.options import OPTION_NAMES, reader_options
from ..networks.segmentation import InstanceReader, MaskClassificationLoss
from ..networks.segmentation.base import MaskNetwork
from ..registry import MODELS

ROOTS = {name: registry for name, registry in vars(registries).items() if isinstance(registry, Registry)}
# Keys that builders take out of a dict before they call its type.
BUILDER_KEYS = {'type', '_scope_', 'priority', 'init_cfg', 'convert_to_iter_based', 'constructor', 'paramwise_cfg'}
# Read from the config by the runner or a tool, though no constructor takes them.
_RUNNER_KEYS = {
    'activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval', 'find_unused_parameters',
    'model_wrapper_cfg', 'runner_type', 'strategy', 'sync_bn', 'tta_model', 'tta_pipeline'
}
_LOADER_KEYS = {'batch_sampler', 'collate_fn', 'dataset', 'num_batch_per_epoch', 'sampler', 'worker_init_fn', 'indices'}
_VIT = 'densevit.PlainViT'
# What a **kwargs ends in, where no base class tells.
_KWARGS_ENDS: dict[type, tuple[type, ...]] = {
    PlainViT: (VisionTransformer, Eva, Beit, VisionTransformerSAM),
    Hiera: (TimmHiera, ),
    HieraDet: (TimmHieraDet, ),
    TimmPyramid: (),
    EMAHook: (ExponentialMovingAverage, ),
    CheckpointHook: ()
}
# Constructors that get all that timm's functions of the same module are given; others have other arguments beside.
_PYRAMIDS = (ConvNeXt, PyramidVisionTransformerV2, ResNet, SwinTransformer, SwinTransformerV2)
# Keys of dicts without a type, by the key that leads to them.
_UNTYPED = dict(
    env_cfg={'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    mp_cfg={'mp_start_method', 'opencv_num_threads'},
    dist_cfg={'backend', 'timeout', 'init_backend', 'init_method'},
    clip_grad={'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'},
    auto_scale_lr={'enable', 'base_batch_size'},
    # Of mmengine's own constructor and of LayerDecayConstructor, which refuses the other's.
    paramwise_cfg={
        'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult',
        'flat_decay_mult', 'bypass_duplicate', 'layer_decay', 'rule', 'backbone_lr_mult', 'full_lr_blocks',
        'as_embedding', 'no_decay'
    })


_FROM_TIMM = (PlainViT, Hiera, HieraDet, TimmPyramid)


class OpenNames(frozenset):
    """The known names of a dict that may have others."""


@cache
def find_type(name: str, scope: str) -> Callable | None:
    """The class or function that a config's ``type`` names, in any registry; None if there is none."""
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    for registry in ROOTS.values():
        with suppress(ImportError, AttributeError):  # of a package that is not installed
            found = registry.children.get(scope, registry).get(name)
            if found is not None:
                return found
    return None


@cache
def argument_names(function: Callable, timm_name: str | None = None) -> frozenset[str]:
    """Arguments of a constructor or function; ``OpenNames`` if some of its **kwargs cannot be followed.

    A ``**kwargs`` is followed through the constructors of the base classes, and into ``timm.create_model`` where a
    backbone of ours is given ``timm_name``.
    """
    names = _argument_names(function)
    if timm_name is None or not inspect.isclass(function) or not issubclass(function, _FROM_TIMM):
        return names
    names |= _timm_options()
    return _with_pyramid(names, timm_name) if issubclass(function, TimmPyramid) else names


def _timm_options() -> frozenset[str]:
    """What timm takes beside the arguments of a network: files of weights and how to read them."""
    names = _names_of(create_model)[0] | _names_of(build_model_with_cfg)[0]
    return names - {'model_name', 'model_cls', 'variant', 'features_only'}


def _with_pyramid(names: frozenset[str], timm_name: str) -> frozenset[str]:
    """The arguments of a hierarchical network too; timm itself refuses what those without a known class do not take."""
    module = defined_in(timm_name)
    for cls in _PYRAMIDS:
        if cls.__module__ == f'timm.models.{module}':
            return names | _names_of(cls.__init__)[0]
    return OpenNames(names)


def _argument_names(function: Callable) -> frozenset[str]:
    if not inspect.isclass(function):
        own, is_open = _names_of(function)
        return OpenNames(own) if is_open else own
    names: set[str] = set()
    for cls in function.__mro__:
        if '__init__' not in vars(cls):
            continue
        own, goes_on = _names_of(cls.__init__) if cls is not object else (frozenset(), True)
        names |= own
        for end in _KWARGS_ENDS.get(cls, ()):
            names |= _names_of(end.__init__)[0]
        if not goes_on or cls in _KWARGS_ENDS or cls is nn.Module:
            return frozenset(names)
    return OpenNames(names) if names or function.__init__ is not object.__init__ else frozenset()


def _names_of(function: Callable) -> tuple[frozenset[str], bool]:
    """Names of the arguments, and whether there is a **kwargs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset(), True
    named = frozenset(
        parameter.name for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name != 'self')
    return named, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def known_names(node: dict[str, Any], path: tuple[str, ...], scope: str) -> frozenset[str] | None:
    """Keys that the config dict at a path may have; None if nothing is known about them.

    Args:
        node: The dict, from :func:`child_node` if there is one around it.
        path: Keys that lead to it; () for the whole config.
        scope: ``default_scope`` of the config.
    """
    by_place = _names_by_place(node, path)
    if by_place is not None:
        return by_place
    target = node.get('type')
    if isinstance(target, str):
        target = find_type(target, scope)
    if not callable(target):
        return None
    names = argument_names(target, _timm_name(node))
    return type(names)(names | BUILDER_KEYS)


def _timm_name(node: dict[str, Any]) -> str | None:
    name = node.get('name')
    return name if isinstance(name, str) else None


class AdapterViT(dict):
    """Arguments of the PlainViT that an adapter builds."""


def child_node(node: Any, key: str, scope: str) -> Any:
    """What a config dict has under a key, with the type that follows from its place.

    So an adapter's ``vit`` is a ``PlainViT``, and a segmentor's ``criterion`` the loss of its network.
    """
    child = node.get(key)
    if key == 'criterion' and isinstance(child, dict) and 'type' not in child:
        return dict(child, type=_loss_class(node.get('head'), scope))
    if key != 'vit' or not isinstance(child, dict) or child.get('type', _VIT) not in (_VIT, 'PlainViT'):
        return child
    around = node.get('type')
    around = find_type(around, scope) if isinstance(around, str) else around
    is_adapter = inspect.isclass(around) and issubclass(around, Adapter)
    return AdapterViT(child, type=_VIT) if is_adapter else child


def _loss_class(head: Any, scope: str) -> type[nn.Module]:
    kind = head.get('type') if isinstance(head, dict) else None
    kind = find_type(kind, scope) if isinstance(kind, str) else kind
    return getattr(kind, 'loss_class', MaskClassificationLoss)


def _names_by_place(node: dict[str, Any], path: tuple[str, ...]) -> frozenset[str] | None:
    """For dicts whose keys follow from where they stand."""
    if isinstance(node, AdapterViT):  # passes no builder
        return argument_names(PlainViT, _timm_name(node)) | {'type'}
    if not path:
        runner = FlexibleRunner if node.get('runner_type') == 'FlexibleRunner' else Runner
        return (argument_names(runner) | _RUNNER_KEYS) - {'cfg'}
    if path[-1].endswith('_dataloader'):
        return argument_names(DataLoader) | _LOADER_KEYS
    if path == ('randomness', ):
        return argument_names(Runner.set_randomness)
    if path[-1] in _UNTYPED:
        return frozenset(_UNTYPED[path[-1]])
    if path == ('model', 'test_cfg') and 'mode' in node:
        return frozenset({*OPTION_NAMES, *reader_options(InstanceReader), *_panoptic_options()})
    implied = None if 'type' in node else _IMPLIED_TYPES.get(path)
    return None if implied is None else argument_names(implied) | BUILDER_KEYS


def _panoptic_options() -> set[str]:
    """Of all networks: the head stands elsewhere in the config, and the model refuses what is not its own."""
    MODELS.import_from_location()
    networks = [kind for kind in MODELS.module_dict.values() if inspect.isclass(kind) and issubclass(kind, MaskNetwork)]
    readers = {kind.panoptic_reader for kind in networks}  # that of ViT-P is a property: its proposer's
    return {name for reader in readers if inspect.isclass(reader) for name in reader_options(reader)}


_IMPLIED_TYPES = {
    ('default_hooks', 'checkpoint'): CheckpointHook,
    ('log_processor', ): LogProcessor,
    ('optim_wrapper', ): OptimWrapper
}
