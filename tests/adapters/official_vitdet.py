"""detectron2's ViT and SimpleFeaturePyramid, without detectron2: only what these two files need."""
from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from official import importable, repository
from timm.layers import LayerNorm2d
from torch import Tensor, nn


class _Backbone(nn.Module):

    def output_shape(self) -> dict[str, Any]:
        return {name: SimpleNamespace(channels=self._out_feature_channels[name],
                                      stride=self._out_feature_strides[name]) for name in self._out_features}


class _Conv2d(nn.Conv2d):
    """With a norm of its own, under detectron2's name."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


def _get_norm(name: str, channels: int) -> nn.Module | None:
    return LayerNorm2d(channels, eps=1e-6) if name == 'LN' else None


_STUBS = {
    'fvcore.nn.weight_init': dict(c2_msra_fill=lambda layer: None),
    'detectron2.layers': dict(CNNBlockBase=nn.Module, Conv2d=_Conv2d, get_norm=_get_norm),
    'detectron2.modeling.backbone.fpn': dict(_assert_strides_are_log2_contiguous=lambda strides: None),
    'detectron2.modeling.backbone.backbone': dict(Backbone=_Backbone),
}


class _TopBlock(nn.Module):
    """The level for the region proposals, as detectron2's LastLevelMaxPool tells of it."""
    num_levels, in_feature = 1, 'p5'

    def forward(self, x: Tensor) -> list[Tensor]:
        return [nn.functional.max_pool2d(x, 1, 2)]


def vitdet(out_channels: int = 16, top_block: bool = True, **sizes: Any) -> Callable[[Tensor], list[Tensor]]:
    """The official backbone; skips without a checkout."""
    folder = repository('detectron2') / 'detectron2' / 'modeling' / 'backbone'
    with importable(stubs=_STUBS), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)  # it imports timm by an old name
        sys.modules['detectron2.modeling.backbone'].__path__ = [str(folder)]
        official = importlib.import_module('detectron2.modeling.backbone.vit')
        net = official.ViT(norm_layer=partial(nn.LayerNorm, eps=1e-6), **sizes)
        return official.SimpleFeaturePyramid(net, 'last_feat', out_channels, (4., 2., 1., .5),
                                             _TopBlock() if top_block else None)
