"""Registers the pure PyTorch networks as OpenMMLab modules.

A registered backbone also takes ``init_cfg=dict(type='Pretrained', checkpoint=...)``, a path or URL of a checkpoint
with any of the names that :func:`densevit.load_weights` knows, and keeps those weights: mmengine's own initialisation
would overwrite them. Whether a model's neck and heads fit it is told by :func:`densevit.check_model`.
"""
from __future__ import annotations

import os
from typing import Any

from mmengine.logging import print_log
from timm.layers import LayerNorm2d
from torch import nn

from ..adapters import SimpleFeaturePyramid, ViTAdapter, ViTCoMer
from ..backbones import Hiera, HieraDet, PlainViT, TimmPyramid
from ..networks.segmentation import (
    PEM,
    DPTNet,
    ECOMask2FormerNet,
    EoMT,
    KMaXDeepLab,
    LinearNet,
    Mask2FormerNet,
    MaskFormerNet,
    SegFormerNet,
    SegViT,
    SegViTShrunk,
    VPNeXt,
)
from ..registry import MODELS
from ..weights.loading import load_weights
from .segmentation.vit_p import ViTPAroundWeights


class InitFromCheckpoint:
    """Adds mmengine's ``init_cfg`` and ``init_weights`` to a backbone."""

    def __init__(self, *args: Any, init_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        _check_init_cfg(init_cfg)
        _check_pretrained(kwargs)
        super().__init__(*args, **kwargs)
        self.init_cfg = init_cfg

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
    """Register a backbone of ours under its own name.

    What is built says that name, too; pickle finds its class in this module as, for example, ``RegisteredHiera``.
    """
    attribute = f'Registered{cls.__name__}'
    plugin = type(cls.__name__, (InitFromCheckpoint, cls),
                  {'__doc__': cls.__doc__, '__module__': __name__, '__qualname__': attribute})
    MODELS.register_module(name=cls.__name__, module=plugin)
    globals()[attribute] = plugin
    return plugin


register_backbone(Hiera)
register_backbone(HieraDet)
register_backbone(PlainViT)
register_backbone(SimpleFeaturePyramid)
register_backbone(TimmPyramid)
register_backbone(ViTAdapter)
register_backbone(ViTCoMer)
MODELS.register_module(module=DPTNet)
MODELS.register_module(module=ECOMask2FormerNet)
MODELS.register_module(module=EoMT)
MODELS.register_module(module=KMaXDeepLab)
MODELS.register_module(module=LinearNet)
MODELS.register_module(module=Mask2FormerNet)
MODELS.register_module(module=MaskFormerNet)
MODELS.register_module(module=PEM)
MODELS.register_module(module=SegFormerNet)
MODELS.register_module(module=SegViT)
MODELS.register_module(module=SegViTShrunk)
MODELS.register_module(name='ViTP', module=ViTPAroundWeights)
MODELS.register_module(module=VPNeXt)
# Over channels, at each pixel: the norm of ViTDet's heads, as norm_cfg=dict(type='densevit.LayerNorm2d').
MODELS.register_module(module=LayerNorm2d)
