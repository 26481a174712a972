"""mmengine models that join a backbone and a head."""
from .mask_segmentor import MaskSegmentor
from .pixel_segmentor import PixelSegmentor
from .segmentor import Segmentor
from .tta import SemanticTTA

__all__ = ['MaskSegmentor', 'PixelSegmentor', 'SemanticTTA', 'Segmentor']
