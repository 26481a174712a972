"""Networks that restore images: super-resolution, noise, JPEG, blur."""
from .base import RestorationNetwork
from .drct import DRCT
from .hat import HAT
from .pixel_loss import PixelLoss
from .swinir import SwinIR

__all__ = ['DRCT', 'HAT', 'PixelLoss', 'RestorationNetwork', 'SwinIR']
