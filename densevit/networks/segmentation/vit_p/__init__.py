"""ViT-P (arXiv:2505.19795): a ViT that classifies points of another network's masks."""
from .network import ViTP

__all__ = ['ViTP']
