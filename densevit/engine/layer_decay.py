"""Optimizer groups with layer-wise learning rates, read from the trunk itself."""
from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .sharding import WRAPPED, whole_shapes


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Parameters of a backbone learn the slower the nearer they are to the image; all others at the full rate.

    A backbone is any module with ``layer_index(name)`` and ``depth``. With decay d and L blocks, block i has
    d ** (L - 1 - i) of the learning rate, the embedding as much as block 0, and the final norm all of it (EoMT's rule).

    ``paramwise_cfg`` takes:
        layer_decay: d; 1 for none.
        backbone_lr_mult: Factor for all backbone parameters.
        full_lr_blocks: The last blocks, which are not decayed.
        decay_all: Weight decay for norms, biases, positions and tokens too, as EoMT does; by default those have none.
    """

    def __call__(self, model: nn.Module) -> Any:
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer_cfg = dict(self.optimizer_cfg, params=self.groups(model))
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer_cfg)))

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """One group for each learning rate, weight decay and stage ('backbone' or 'head') that occur."""
        options = dict(self.paramwise_cfg or {})
        decay_all = options.pop('decay_all', False)
        scale = dict(
            layer_decay=options.pop('layer_decay', 1.), lr_mult=options.pop('backbone_lr_mult', 1.),
            full_lr_blocks=options.pop('full_lr_blocks', 0))
        if options:
            raise ValueError(f'LayerDecayConstructor does not know paramwise_cfg {sorted(options)}; it takes '
                             'layer_decay, backbone_lr_mult, full_lr_blocks and decay_all')
        groups: dict[tuple, dict[str, Any]] = {}
        shapes = whole_shapes(model)
        if is_model_wrapper(model):
            shapes = {name.removeprefix('module.'): shape for name, shape in shapes.items()}
            model = model.module
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            backbone, inner = owner(model, name)
            lr = self.base_lr * (lr_scale(backbone, inner, **scale) if backbone is not None else 1.)
            num_dims = len(shapes[name.replace(WRAPPED, '')])
            decays = decay_all or (num_dims > 1 and not inner.endswith(('pos_embed', 'token')))
            stage = 'head' if backbone is None else 'backbone'
            key = (stage, lr, decays)
            group = groups.setdefault(key, dict(params=[], lr=lr, stage=stage))
            if self.base_wd is not None:
                group['weight_decay'] = self.base_wd if decays else 0.
            group['params'].append(parameter)
        return list(groups.values())


def owner(model: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """The backbone that a parameter belongs to, if any, and its name in there."""
    module, parts = model, name.replace(WRAPPED, '').split('.')
    for index, part in enumerate(parts):
        if hasattr(module, 'layer_index'):
            return module, '.'.join(parts[index:])
        module = getattr(module, part)
    return None, name


def lr_scale(backbone: nn.Module, name: str, layer_decay: float, lr_mult: float, full_lr_blocks: int) -> float:
    """Share of the learning rate for a backbone parameter."""
    layer = backbone.layer_index(name)
    if layer > backbone.depth:
        return lr_mult
    block = max(layer, 1)
    if block > backbone.depth - full_lr_blocks:
        return lr_mult
    return lr_mult * layer_decay**(backbone.depth - block)
