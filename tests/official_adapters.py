"""The official ViT-Adapter and ViT-CoMer, built from their checkouts with deformable attention in plain PyTorch."""
from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import timm.models.layers  # noqa: F401  # before the official code does, whose imports are undone
import torch
import torch._dynamo  # the same: checkpointing imports it
from official import importable, repository
from torch import Tensor, nn

from densevit.weights.names.adapters import read_adapter


class _Registry:

    def register_module(self, *args: Any, **kwargs: Any) -> Callable[[type], type]:
        return lambda cls: cls


class _Function:
    """Stands for the compiled operator."""
    core: Callable

    @classmethod
    def apply(cls, value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, _: int) -> Tensor:
        return cls.core(value, [tuple(shape) for shape in shapes.tolist()], locations, weights)


def official_adapter(
    code: Literal['ViT-Adapter', 'ViT-CoMer'],
    task: Literal['detection', 'segmentation'],
    module: str = '',
    cls: str = '',
    **kwargs: Any,
) -> nn.Module:
    """An official backbone; ``module`` and ``cls`` are the one of the repository's name by default."""
    mm = dict(detection='mmdet', segmentation='mmseg')[task]
    root = repository(code)
    name = code.replace('-', '')
    stubs = {
        mm: {},  # also stands for a real one that is imported already
        'mmcv': {},
        'mmcv.runner': dict(BaseModule=nn.Module),
        'mmcv_custom': dict(my_load_checkpoint=None, load_checkpoint=None),
        f'{mm}.models': {},
        f'{mm}.models.builder': dict(BACKBONES=_Registry()),
        f'{mm}.utils': dict(get_root_logger=logging.getLogger),
        'MultiScaleDeformableAttention': {},
        'mm_backbones': {},
    }
    # The operators are in the folder of detection alone. A package of another name hides what its __init__ imports.
    with importable(root / 'detection', stubs=stubs):
        folder = root / task / f'{mm}_custom' / 'models' / 'backbones'
        sys.modules['mm_backbones'].__path__ = [str(folder)]
        attention = import_module('ops.modules.ms_deform_attn')
        core = import_module('ops.functions.ms_deform_attn_func').ms_deform_attn_core_pytorch
        attention.MSDeformAttnFunction = type('Function', (_Function, ), dict(core=staticmethod(core)))
        found = import_module(f'mm_backbones.{module or _snake(name)}')
        return getattr(found, cls or name)(**kwargs)


def _snake(name: str) -> str:
    return dict(ViTAdapter='vit_adapter', ViTCoMer='vit_comer')[name]



def official_dinov3_adapter(vit: dict[str, Any], **kwargs: Any) -> nn.Module:
    """DINOv3's adapter around its own ViT."""
    package = repository('dinov3') / 'dinov3'
    # The packages above the modules import what evaluations need.
    above = ('', '.eval', '.eval.segmentation', '.eval.segmentation.models', '.eval.segmentation.models.backbone')
    with importable(stubs={f'dinov3{name}': {} for name in above}):
        for name in above:
            sys.modules[f'dinov3{name}'].__path__ = [str(package.joinpath(*name.split('.')[1:]))]
        trunk = import_module('dinov3.models.vision_transformer').DinoVisionTransformer(**vit)
        trunk.init_weights()
        adapter = import_module('dinov3.eval.segmentation.models.backbone.dinov3_adapter')
        return adapter.DINOv3_Adapter(trunk, **kwargs)


def correspondence(official: nn.Module, ours: nn.Module) -> dict[str, str]:
    """Official names to ours, as the reader of checkpoints sees them."""
    state = official.state_dict()
    tagged = {name: torch.full_like(tensor, index) for index, (name, tensor) in enumerate(state.items())}
    _, renamed, _ = read_adapter(tagged, ours)
    names = list(state)
    own = ours.state_dict()
    return {names[int(tensor.flatten()[0])]: name for name, tensor in renamed.items() if name in own}


def give_values(ours: nn.Module, official: nn.Module) -> None:
    """The official model gets the values of ours."""
    own, state = ours.state_dict(), official.state_dict()
    for theirs, name in correspondence(official, ours).items():
        value = own[name]
        if value.shape != state[theirs].shape:  # positions with an unused one for the class token
            value = torch.cat((state[theirs][:, :1], value), dim=1)
        state[theirs] = value
    official.load_state_dict(state)


def official_size(ours: nn.Module) -> float:
    """Millions of parameters with the position of the class token, which the official code keeps."""
    return round((sum(p.numel() for p in ours.parameters()) + ours.vit.embed_dim) / 1e6, 2)
