"""Networks that restore images: super-resolution, noise, JPEG, blur."""
from .atd import ATD
from .base import RestorationNetwork
from .cat import CAT
from .dpt import DPTRestoration
from .drct import DRCT
from .hat import HAT
from .hit import HiTSR
from .pixel_loss import PixelLoss
from .swin2sr import Swin2SR
from .swinir import SwinIR

__all__ = [
    'ATD', 'CAT', 'DPTRestoration', 'DRCT', 'HAT', 'HiTSR', 'PixelLoss', 'RestorationNetwork', 'Swin2SR', 'SwinIR']
