"""Plain DETR (arXiv:2308.01904): no pyramid and no local attention in the decoder."""
from .hybrid_loss import HybridSetLoss
from .network import PlainDETR

__all__ = ['HybridSetLoss', 'PlainDETR']
