"""SegViT (arXiv:2210.05844), SegViTv2 and its Shrunk++ form (arXiv:2306.06289)."""
from .loss import SegViTLoss
from .network import SegViT
from .shrunk import SegViTShrunk

__all__ = ['SegViT', 'SegViTLoss', 'SegViTShrunk']
