"""Networks that estimate the depth of each pixel from one image."""
from .base import DepthNetwork
from .dpt import DPTDepth
from .linear import LinearDepth
from .polymax import PolyMaXDepth
from .prediction import DepthKind, DepthPrediction

__all__ = ['DPTDepth', 'DepthKind', 'DepthNetwork', 'DepthPrediction', 'LinearDepth',
           'PolyMaXDepth']
