"""Registers the pure PyTorch networks as OpenMMLab modules.

A registered backbone also takes ``init_cfg=dict(type='Pretrained', checkpoint=...)``, which any official checkpoint
name fits, and keeps those weights: mmengine's own initialisation would overwrite them. The model that takes it up is
refused if its neck or heads do not fit (:mod:`densevit.models.wiring`).
"""
from __future__ import annotations

from typing import Any

from mmengine.logging import print_log
from timm.layers import LayerNorm2d
from torch import nn

from ..adapters import SimpleFeaturePyramid, ViTAdapter, ViTCoMer
from ..backbones import Hiera, HieraDet, PlainViT, TimmPyramid
from ..heads.segmentation import EoMT
from ..models.wiring import check_wiring
from ..registry import MODELS
from .loading import load_weights


class InitFromCheckpoint:
    """Adds mmengine's ``init_cfg`` and ``init_weights`` to a backbone, whose model is checked as it is built."""

    def __init__(self, *args: Any, init_cfg: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if isinstance(weights := kwargs.get('pretrained'), str):
            raise ValueError(f"pretrained='{weights}' is of another backbone; set model.pretrained=None, and give ours "
                             "pretrained=True (timm's weights) or init_cfg=dict(type='Pretrained', checkpoint=...)")
        super().__init__(*args, **kwargs)
        if init_cfg is not None and init_cfg.get('type') != 'Pretrained':
            raise ValueError(f"init_cfg takes type='Pretrained' with a checkpoint, not {init_cfg}")
        self.init_cfg = init_cfg
        check_wiring()

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``; the trunk has initialised itself otherwise."""
        if self.init_cfg is not None:
            print_log(str(load_weights(self, self.init_cfg['checkpoint'])), logger='current')


def register_backbone(cls: type[nn.Module]) -> type[nn.Module]:
    """Register a backbone of ours under its own name."""
    plugin = type(cls.__name__, (InitFromCheckpoint, cls), {'__doc__': cls.__doc__, '__module__': __name__})
    MODELS.register_module(name=cls.__name__, module=plugin)
    return plugin


register_backbone(Hiera)
register_backbone(HieraDet)
register_backbone(PlainViT)
register_backbone(SimpleFeaturePyramid)
register_backbone(TimmPyramid)
register_backbone(ViTAdapter)
register_backbone(ViTCoMer)
MODELS.register_module(module=EoMT)
# Over channels, at each pixel: the norm of ViTDet's heads, as norm_cfg=dict(type='densevit.LayerNorm2d').
MODELS.register_module(module=LayerNorm2d)
