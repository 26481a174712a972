"""Models of depth."""
from .monocular import MonocularDepth

__all__ = ['MonocularDepth']
