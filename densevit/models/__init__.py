"""mmengine models that join a backbone and a head; importing them registers all networks and backbones."""
from . import registration
from .base import DenseModel
from .check import check_model
from .detection import Detector
from .restoration import Restorer
from .segmentation import MaskSegmentor, PixelSegmentor, Segmentor, SemanticTTA

__all__ = [
    'DenseModel', 'Detector', 'MaskSegmentor', 'PixelSegmentor', 'Restorer', 'SemanticTTA', 'Segmentor', 'check_model',
    'registration'
]
