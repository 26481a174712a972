"""Models of matting."""
from .matting import MattingModel

__all__ = ['MattingModel']
