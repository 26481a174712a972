"""densevit: any vision transformer, any dense-prediction task, inside OpenMMLab."""
from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .compat import install_mmcv_ops
from .version import __version__

if TYPE_CHECKING:
    from .adapters import SimpleFeaturePyramid, ViTAdapter, ViTCoMer
    from .backbones import Hiera, HieraDet, PlainViT, TimmPyramid
    from .inference import DetectionResult, Predictor, Result, SegmentationResult, load
    from .models import check_model
    from .networks.segmentation import EoMT
    from .weights import load_weights, model_card

__all__ = [
    'DetectionResult', 'EoMT', 'Hiera', 'HieraDet', 'PlainViT', 'Predictor', 'Result', 'SegmentationResult',
    'SimpleFeaturePyramid', 'TimmPyramid', 'ViTAdapter', 'ViTCoMer', '__version__', 'check_model', 'load',
    'load_weights', 'model_card'
]

install_mmcv_ops()  # before anything imports mmcv.ops
_HAS_OPENMMLAB = find_spec('mmengine') is not None  # layers, backbones, adapters and networks do without
if _HAS_OPENMMLAB:
    import_module('.registry', __name__)  # for `_base_ = 'densevit::...'`

_HOMES = dict(
    DetectionResult='inference',
    EoMT='networks.segmentation',
    Hiera='backbones',
    HieraDet='backbones',
    PlainViT='backbones',
    Predictor='inference',
    Result='inference',
    SegmentationResult='inference',
    SimpleFeaturePyramid='adapters',
    TimmPyramid='backbones',
    ViTAdapter='adapters',
    ViTCoMer='adapters',
    check_model='models',
    load='inference',
    load_weights='weights',
    model_card='weights')


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: `import densevit` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'densevit' has no attribute '{name}'")
    with import_module('.registry', __name__).quiet_imports() if _HAS_OPENMMLAB else nullcontext():
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
