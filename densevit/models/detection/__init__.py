"""Detection models: boxes with classes."""
from .detector import Detector

__all__ = ['Detector']
