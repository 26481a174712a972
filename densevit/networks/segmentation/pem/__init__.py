"""PEM: Prototype-based Efficient MaskFormer (arXiv:2402.19422)."""
from .network import PEM

__all__ = ['PEM']
