"""Pictures in, results out: `load` a model, `predict` with it, and a `Result` to show, save or count."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..images import ImageError, read_image
from .result import Result

if TYPE_CHECKING:
    from .loading import load
    from .predictor import Predictor
    from .tasks.detection import DetectionResult
    from .tasks.segmentation import SegmentationResult

__all__ = ['DetectionResult', 'ImageError', 'Predictor', 'Result', 'SegmentationResult', 'load', 'read_image']

_HOMES = dict(
    DetectionResult='tasks.detection', Predictor='predictor', SegmentationResult='tasks.segmentation', load='loading')


def __getattr__(name: str) -> Any:
    """What needs mmengine is imported when it is first used: reading and drawing stay quick."""
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
