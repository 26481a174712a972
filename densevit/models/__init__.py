"""mmengine models that join a backbone and a head; importing them registers all networks and backbones."""
from . import registration
from .segmentation.mask_segmentor import MaskSegmentor
from .segmentation.pixel_segmentor import PixelSegmentor
from .segmentation.segmentor import Segmentor
from .segmentation.tta import SemanticTTA

__all__ = ['MaskSegmentor', 'PixelSegmentor', 'SemanticTTA', 'Segmentor']
