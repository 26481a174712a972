"""mmengine models that join a backbone and a head; importing them registers all networks and backbones."""
from . import registration
from .check import check_model
from .segmentation import MaskSegmentor, PixelSegmentor, Segmentor, SemanticTTA

__all__ = ['MaskSegmentor', 'PixelSegmentor', 'SemanticTTA', 'Segmentor', 'check_model', 'registration']
