"""Restoration: images to better images."""
from .preprocessor import RestorationPreprocessor
from .restorer import Restorer

__all__ = ['RestorationPreprocessor', 'Restorer']
