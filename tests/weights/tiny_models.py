"""Tiny models whose every parameter matters."""
from __future__ import annotations

import timm
from randomised import randomise
from torch import nn

from densevit.backbones import PlainViT
from densevit.networks.segmentation import EoMT

TINY = dict(embed_dim=32, depth=4, num_heads=4)


def random_timm(name: str, seed: int = 1, **kwargs) -> nn.Module:
    """A timm trunk of width 32 without classifier."""
    return randomise(timm.create_model(name, num_classes=0, global_pool='', **{**TINY, **kwargs}), seed)


def random_trunk(name: str | None, seed: int = 2, **kwargs) -> PlainViT:
    return randomise(PlainViT(name, **{**TINY, **kwargs}), seed)


def random_eomt(name: str = 'vit_small_patch14_reg4_dinov2', seed: int = 2, num_classes: int = 7, num_queries: int = 10,
                num_blocks: int = 2, **kwargs) -> EoMT:
    backbone = PlainViT(name, **{**dict(img_size=64, patch_size=16), **TINY, **kwargs})
    return randomise(EoMT(backbone, num_classes, num_queries=num_queries, num_blocks=num_blocks), seed)
