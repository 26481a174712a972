"""Tiny models whose every parameter matters."""
from __future__ import annotations

import timm
import torch
from torch import nn

from densevit.backbones import PlainViT
from densevit.heads.segmentation import EoMT

TINY = dict(embed_dim=32, depth=4, num_heads=4)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random values everywhere: layer scales that start near 0 would hide errors in the block."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            std = .6 if parameter.dim() == 1 else .3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return model.eval()


def random_timm(name: str, seed: int = 1, **kwargs) -> nn.Module:
    """A timm trunk of width 32 without classifier."""
    return randomise(timm.create_model(name, num_classes=0, global_pool='', **{**TINY, **kwargs}), seed)


def random_trunk(name: str | None, seed: int = 2, **kwargs) -> PlainViT:
    return randomise(PlainViT(name, **{**TINY, **kwargs}), seed)


def random_eomt(name: str = 'vit_small_patch14_reg4_dinov2', seed: int = 2, num_classes: int = 7, num_queries: int = 10,
                num_blocks: int = 2, **kwargs) -> EoMT:
    backbone = PlainViT(name, **{**dict(img_size=64, patch_size=16), **TINY, **kwargs})
    return randomise(EoMT(backbone, num_classes, num_queries=num_queries, num_blocks=num_blocks), seed)
