"""Networks that estimate the depth of each pixel from one image."""
from .base import DepthBins, DepthKind, DepthNetwork, DepthPrediction
from .dpt import DPTDepth
from .linear import LinearDepth

__all__ = ['DPTDepth', 'DepthBins', 'DepthKind', 'DepthNetwork', 'DepthPrediction', 'LinearDepth']
