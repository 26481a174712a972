"""Backbones: (B, 3, H, W) images to tokens or feature pyramids. PyTorch and timm only."""
from .contract import Backbone, crop_to_strides, pad_to_multiple
from .plain_vit import PlainViT
from .trunks import Tokens

__all__ = ['Backbone', 'PlainViT', 'Tokens', 'crop_to_strides', 'pad_to_multiple']
