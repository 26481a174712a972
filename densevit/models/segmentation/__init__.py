"""Segmentation models: by masks with classes, and by the classes of pixels."""
from .mask_segmentor import MaskSegmentor
from .pixel_segmentor import PixelSegmentor
from .segmentor import Segmentor
from .tta import SemanticTTA
from .vit_p import ViTPAroundWeights

__all__ = ['MaskSegmentor', 'PixelSegmentor', 'SemanticTTA', 'Segmentor', 'ViTPAroundWeights']
