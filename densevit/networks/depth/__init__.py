"""Networks that estimate the depth of each pixel from one image."""
from .base import DepthBins, DepthKind, DepthNetwork, DepthPrediction

__all__ = ['DepthBins', 'DepthKind', 'DepthNetwork', 'DepthPrediction']
