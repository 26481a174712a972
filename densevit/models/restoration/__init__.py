"""Restoration: images to better images."""
from .adversarial import AdversarialRestorer
from .preprocessor import RestorationPreprocessor
from .restorer import Restorer
from .spandrel import SpandrelNet

__all__ = ['AdversarialRestorer', 'RestorationPreprocessor', 'Restorer', 'SpandrelNet']
