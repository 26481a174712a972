"""kMaX-DeepLab (arXiv:2207.04044) and its training with ReMaX (arXiv:2306.17319)."""
from .decoder import KMaXPrediction
from .loss import KMaXLoss
from .network import KMaXDeepLab
from .postprocess import KMaXPanopticReader

__all__ = ['KMaXDeepLab', 'KMaXLoss', 'KMaXPanopticReader', 'KMaXPrediction']
