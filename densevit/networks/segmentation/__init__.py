"""Segmentation networks, their losses and the reading of their predictions."""
from .base import MaskNetwork, PixelNetwork
from .dpt import DPTNet
from .eco import ECOMask2FormerNet
from .eomt import EoMT
from .kmax import KMaXDeepLab, KMaXLoss, KMaXPanopticReader, KMaXPrediction
from .linear import LinearNet
from .mask2former import Mask2FormerNet
from .mask_loss import MaskClassificationLoss
from .mask_types import MaskPrediction, MaskTarget
from .maskformer import MaskFormerNet
from .maskformer_loss import MaskFormerLoss
from .pem import PEM
from .pixel_loss import PixelClassificationLoss
from .postprocess import (
    InstanceReader,
    InstanceSegmentation,
    PanopticReader,
    instance_masks,
    panoptic_map,
    semantic_scores,
)
from .segformer import SegFormerNet
from .segvit import SegViT, SegViTLoss, SegViTShrunk
from .vit_p import ViTP
from .vpnext import VPNeXt

__all__ = [
    'ECOMask2FormerNet',
    'PEM', 'DPTNet', 'EoMT', 'InstanceReader', 'InstanceSegmentation', 'KMaXDeepLab', 'KMaXLoss', 'KMaXPanopticReader',
    'KMaXPrediction', 'LinearNet', 'Mask2FormerNet', 'MaskClassificationLoss', 'MaskFormerLoss', 'MaskFormerNet',
    'MaskNetwork', 'MaskPrediction', 'MaskTarget', 'PanopticReader', 'PixelClassificationLoss', 'PixelNetwork',
    'SegFormerNet', 'SegViT', 'SegViTLoss', 'SegViTShrunk', 'VPNeXt', 'ViTP', 'instance_masks', 'panoptic_map',
    'semantic_scores'
]
