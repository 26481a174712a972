"""Detection networks and their losses."""
from .base import BoxPrediction, DetectionNetwork
from .lw_detr import LWDETR
from .set_loss import BoxSetLoss, BoxTarget

__all__ = ['LWDETR', 'BoxPrediction', 'BoxSetLoss', 'BoxTarget', 'DetectionNetwork']
