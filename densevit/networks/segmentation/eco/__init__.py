"""ECO-M2F (arXiv:2404.15244): a Mask2Former that leaves its encoder early."""
from .network import ECOMask2FormerNet

__all__ = ['ECOMask2FormerNet']
