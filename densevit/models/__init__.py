"""mmengine models that join a backbone and a head."""
from .mask_segmentor import MaskSegmentor
from .tta import SemanticTTA

__all__ = ['MaskSegmentor', 'SemanticTTA']
