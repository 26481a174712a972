"""Networks that restore images: super-resolution, noise, JPEG, blur, rain, holes."""
from .atd import ATD
from .base import RestorationNetwork
from .cat import CAT
from .dpt import DPTRestoration
from .drct import DRCT
from .hat import HAT
from .hit import HiTSR
from .hole_loss import HoleLoss
from .mat import MAT
from .pixel_loss import PixelLoss
from .restormer import Restormer
from .swin2sr import Swin2SR
from .swinir import SwinIR

__all__ = [
    'ATD', 'CAT', 'DPTRestoration', 'DRCT', 'HAT', 'HiTSR', 'HoleLoss', 'MAT', 'PixelLoss', 'RestorationNetwork',
    'Restormer', 'Swin2SR', 'SwinIR'
]
