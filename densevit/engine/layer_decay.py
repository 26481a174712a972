"""Optimizer groups with layer-wise learning rates, read from the trunk itself."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from mmcv.cnn import is_norm
from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ..adapters.adapter import Adapter
from ..backbones import PlainViT
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .sharding import WRAPPED, whole_shapes

Rule = Literal['eomt', 'beit']
_KINDS = ('vectors', 'norms', 'embeddings')
_OPTIONS = ('layer_decay', 'rule', 'backbone_lr_mult', 'stem_lr_mult', 'full_lr_blocks', 'as_embedding', 'no_decay',
            'lr_mult')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Parameters of a backbone learn the slower the nearer they are to the image; all others at the full rate.

    A backbone is any module with ``layer_index(name)`` and ``depth``; an adapter counts its ViT's layers, and what it
    adds to them learns at the full rate.

    ``paramwise_cfg`` takes:
        layer_decay: d; 1 for none.
        rule: With L layers, ``'eomt'`` (the default) gives layer i of 0 ... L - 1 the share d ** (L - 1 - i) of the
            learning rate and the embedding as much as layer 0; ``'beit'`` gives d ** (L - i) and d ** (L + 1), as in
            BEiT, ViTDet (arXiv:2203.16527), ViT-Adapter and ViT-CoMer. A final norm learns at the full rate in both.
        backbone_lr_mult: Factor for all backbone parameters.
        stem_lr_mult: Another factor for the stem of a ``PlainViT``, alone or in an adapter, which may have weights
            where the blocks have none yet.
        full_lr_blocks: The last layers, which are not decayed.
        as_embedding: Beginnings of names outside the backbone that learn as slowly as its embedding.
        lr_mult: Factors by beginnings of names outside the backbone, ``{'classifier': .1}``.
        no_decay: What has no weight decay: ``'vectors'`` (all of one dimension: biases, norms, layer scales),
            ``'norms'`` (norm layers), ``'embeddings'`` (``nn.Embedding``: learned queries), and otherwise part of a
            parameter's own name. The default is ``('vectors', 'pos_embed', 'token')``; () decays everything, as EoMT
            does.
    """

    def __call__(self, model: nn.Module) -> Any:
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer_cfg = dict(self.optimizer_cfg, params=self.groups(model))
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer_cfg)))

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """One group for each learning rate, weight decay and stage ('backbone' or 'head') that occur."""
        options = _check(dict(self.paramwise_cfg or {}))
        as_embedding = tuple(options.pop('as_embedding', ()))
        no_decay = tuple(options.pop('no_decay', ('vectors', 'pos_embed', 'token')))
        lr_mult = dict(options.pop('lr_mult', {}))
        stem_lr_mult = options.pop('stem_lr_mult', 1.)
        shapes = whole_shapes(model)
        if is_model_wrapper(model):
            shapes = {name.removeprefix('module.'): shape for name, shape in shapes.items()}
            model = model.module
        if absent := [beginning for beginning in lr_mult
                      if not any(name.startswith(beginning) for name, _ in model.named_parameters())]:
            raise ValueError(f'paramwise_cfg.lr_mult has {absent[0]!r}, with which no parameter begins: name a part of '
                             'the model')
        slowest = _share_of_embedding(model, options) if as_embedding else 1.
        spared_kinds = {id(parameter) for module in model.modules() if _is_spared_kind(module, no_decay)
                        for parameter in module.parameters(recurse=False)}
        groups: dict[tuple, dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            name = name.replace(WRAPPED, '')
            backbone, inner = owner(model, name)
            if backbone is not None:
                lr = self.base_lr * lr_scale(backbone.layer_index(inner), backbone.depth, **options)
                if _is_of_stem(backbone, inner):
                    lr *= stem_lr_mult
            else:
                lr = self.base_lr * (slowest if name.startswith(as_embedding) else 1.)
                lr *= next((factor for beginning, factor in lr_mult.items() if name.startswith(beginning)), 1.)
            decays = id(parameter) not in spared_kinds and not _is_spared_name(inner, len(shapes[name]), no_decay)
            stage = 'head' if backbone is None else 'backbone'
            group = groups.setdefault((stage, lr, decays), dict(params=[], lr=lr, stage=stage))
            if self.base_wd is not None:
                group['weight_decay'] = self.base_wd if decays else 0.
            group['params'].append(parameter)
        return list(groups.values())


def _is_of_stem(backbone: nn.Module, name: str) -> bool:
    return isinstance(backbone, PlainViT | Adapter) and backbone.is_of_stem(name)


def owner(model: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """The backbone that a parameter belongs to, if any, and its name in there."""
    module, parts = model, name.split('.')
    for index, part in enumerate(parts):
        if hasattr(module, 'layer_index'):
            return module, '.'.join(parts[index:])
        module = getattr(module, part)
    return None, name


def lr_scale(layer: int, depth: int, layer_decay: float = 1., rule: Rule = 'eomt', backbone_lr_mult: float = 1.,
             full_lr_blocks: int = 0) -> float:
    """Share of the learning rate for a layer: 0 the embedding, 1 ... depth, depth + 1 the rest of a backbone."""
    if rule == 'eomt':
        layer = max(layer, 1)
    if layer > depth - full_lr_blocks:
        return backbone_lr_mult
    return backbone_lr_mult * layer_decay**(depth + (rule == 'beit') - layer)


def _check(options: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        raise ValueError(f'LayerDecayConstructor does not know paramwise_cfg {unknown}; it takes {", ".join(_OPTIONS)}')
    if (rule := options.get('rule', 'eomt')) not in get_args(Rule):
        raise ValueError(f"paramwise_cfg.rule is '{rule}'; it can be {' or '.join(map(repr, get_args(Rule)))}")
    for key in ('as_embedding', 'no_decay'):
        if isinstance(options.get(key), str):
            raise ValueError(f"paramwise_cfg.{key} is a list of names, not the text '{options[key]}'")
    return options


def _share_of_embedding(model: nn.Module, scale: dict[str, Any]) -> float:
    for module in model.modules():
        if hasattr(module, 'layer_index'):
            return lr_scale(0, module.depth, **scale)
    raise ValueError('paramwise_cfg.as_embedding needs a model with a backbone that counts its layers (layer_index)')


def _is_spared_kind(module: nn.Module, no_decay: Sequence[str]) -> bool:
    return ('norms' in no_decay and is_norm(module)) or ('embeddings' in no_decay and isinstance(module, nn.Embedding))


def _is_spared_name(name: str, num_dims: int, no_decay: Sequence[str]) -> bool:
    own_name = name.rpartition('.')[2]
    return ('vectors' in no_decay and num_dims <= 1) or any(
        part in own_name for part in no_decay if part not in _KINDS)
