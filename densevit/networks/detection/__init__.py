"""Detection networks and their losses."""
from .base import BoxPrediction, DetectionNetwork, MaskFactors
from .deim import DEIM, DEIMLoss
from .lw_detr import LWDETR
from .plain_detr import HybridSetLoss, PlainDETR
from .rf_detr_seg import InstanceSetLoss, RFDETRSeg
from .set_loss import BoxSetLoss, BoxTarget

__all__ = [
    'DEIM', 'LWDETR', 'BoxPrediction', 'BoxSetLoss', 'BoxTarget', 'DEIMLoss', 'DetectionNetwork', 'HybridSetLoss',
    'InstanceSetLoss', 'MaskFactors', 'PlainDETR', 'RFDETRSeg'
]
