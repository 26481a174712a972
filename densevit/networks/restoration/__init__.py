"""Networks that restore images: super-resolution, noise, JPEG, blur."""
from .base import RestorationNetwork
from .pixel_loss import PixelLoss
from .swinir import SwinIR

__all__ = ['PixelLoss', 'RestorationNetwork', 'SwinIR']
