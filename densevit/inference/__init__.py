"""Pictures in, results out: `load` a model, `predict` with it, and a `SegmentationResult` to show, save or count."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from densevit.images import ImageError, read_image

from .result import SegmentationResult

if TYPE_CHECKING:
    from .loading import load
    from .predictor import Predictor

__all__ = ['ImageError', 'Predictor', 'SegmentationResult', 'load', 'read_image']

_HOMES = dict(Predictor='predictor', load='loading')


def __getattr__(name: str) -> Any:
    """What needs mmengine is imported when it is first used: reading and drawing stay quick."""
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
