"""Adapters: a plain ViT becomes a feature pyramid. PyTorch and timm only."""
from .simple_pyramid import SimpleFeaturePyramid
from .vit_adapter import ViTAdapter
from .vit_comer import ViTCoMer

__all__ = ['SimpleFeaturePyramid', 'ViTAdapter', 'ViTCoMer']
