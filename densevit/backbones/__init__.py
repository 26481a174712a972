"""Backbones: (B, 3, H, W) images to tokens or feature pyramids. PyTorch and timm only."""
from .plain_vit import PlainViT
from .trunks import Tokens

__all__ = ['PlainViT', 'Tokens']
