"""Restoration: images to better images."""
from .preprocessor import RestorationPreprocessor
from .restorer import Restorer
from .spandrel import SpandrelNet

__all__ = ['RestorationPreprocessor', 'Restorer', 'SpandrelNet']
