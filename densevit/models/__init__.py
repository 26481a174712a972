"""mmengine models that join a backbone and a head."""
from .mask_segmentor import MaskSegmentor

__all__ = ['MaskSegmentor']
