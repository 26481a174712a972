"""Networks that tell how much of each pixel belongs to the foreground."""
from .base import MattingNetwork
from .vitmatte import ViTMatte

__all__ = ['MattingNetwork', 'ViTMatte']
