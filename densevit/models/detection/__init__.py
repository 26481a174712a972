"""Detection models: boxes with classes."""
from .batch_mixing import MixUpOrCopyBlend, MultiScaleBatch
from .detector import Detector

__all__ = ['Detector', 'MixUpOrCopyBlend', 'MultiScaleBatch']
