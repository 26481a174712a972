"""Detection networks and their losses."""
from .base import BoxPrediction, DetectionNetwork, MaskFactors
from .deim import DEIM, DEIMLoss
from .lw_detr import LWDETR
from .rf_detr_seg import InstanceSetLoss, RFDETRSeg
from .set_loss import BoxSetLoss, BoxTarget

__all__ = [
    'DEIM', 'LWDETR', 'BoxPrediction', 'BoxSetLoss', 'BoxTarget', 'DEIMLoss', 'DetectionNetwork', 'InstanceSetLoss',
    'MaskFactors', 'RFDETRSeg'
]
