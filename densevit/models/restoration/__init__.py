"""Restoration: images to better images."""
from .adversarial import AdversarialRestorer
from .classifying import ClassifyingRestorer
from .preprocessor import RestorationPreprocessor
from .restorer import Restorer
from .spandrel import SpandrelNet

__all__ = ['AdversarialRestorer', 'ClassifyingRestorer', 'RestorationPreprocessor', 'Restorer', 'SpandrelNet']
