"""Backbones: (B, 3, H, W) images to tokens or feature pyramids. PyTorch and timm only."""
from .contract import Backbone, crop_to_strides, pad_to_multiple
from .hiera import Hiera
from .hiera_det import HieraDet
from .plain_vit import PlainViT
from .timm_pyramid import TimmPyramid
from .trunks import Tokens

__all__ = ['Backbone', 'Hiera', 'HieraDet', 'PlainViT', 'TimmPyramid', 'Tokens', 'crop_to_strides', 'pad_to_multiple']
