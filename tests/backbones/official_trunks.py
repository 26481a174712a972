"""Trunks of official code, imported from checkouts."""
from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from logging import getLogger
from typing import Any

import timm.models.layers  # noqa: F401  # before the official code does, whose imports are undone
import torch._dynamo  # noqa: F401  # the same: checkpointing imports it
from official import importable, repository
from torch import Tensor, nn


class _Registry:

    def register_module(self, *args: Any, **kwargs: Any) -> Callable[[type], type]:
        return lambda cls: cls


def comer_vit(**kwargs: Any) -> nn.Module:
    """ViT-CoMer's (and ViT-Adapter's) ViT with windows."""
    return _base('ViT-CoMer', 'detection', 'mmdet', 'vit').TIMMVisionTransformer(**kwargs)


def adapter_beit(**kwargs: Any) -> nn.Module:
    """ViT-Adapter's BEiT."""
    return _base('ViT-Adapter', 'segmentation', 'mmseg', 'beit').BEiT(**kwargs)


def _base(code: str, task: str, mm: str, module: str) -> Any:
    folder = repository(code) / task / f'{mm}_custom' / 'models' / 'backbones' / 'base'
    stubs = {
        mm: {},
        'mmcv': {},
        'mmcv.runner': dict(BaseModule=nn.Module),
        'mmcv_custom': dict(my_load_checkpoint=None, load_checkpoint=None),
        f'{mm}.models': {},
        f'{mm}.models.builder': dict(BACKBONES=_Registry()),
        f'{mm}.utils': dict(get_root_logger=getLogger),
        'base': {},
    }
    with importable(stubs=stubs):
        sys.modules['base'].__path__ = [str(folder)]
        return import_module(f'base.{module}')


def dinov3_vit(**kwargs: Any) -> nn.Module:
    """DINOv3's ViT, its buffers filled."""
    with importable(repository('dinov3')):
        model = import_module('dinov3.models.vision_transformer').DinoVisionTransformer(**kwargs)
        model.init_weights()
        return model


def run_blocks(model: nn.Module, x: Tensor, grid: tuple[int, int]) -> list[Tensor]:
    """The patches (B, D, h, w) after each block of a ViT whose blocks take the grid, of tokens (B, P + h * w, D)."""
    maps = []
    for block in model.blocks:
        x = block(x, *grid)
        maps.append(x[:, -grid[0] * grid[1]:].transpose(1, 2).unflatten(2, grid))
    return maps


LayerNorm = partial(nn.LayerNorm, eps=1e-6)
