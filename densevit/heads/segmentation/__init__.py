"""Segmentation networks, their losses and the reading of their predictions."""
from .eomt import EoMT
from .linear import LinearNet
from .mask_loss import MaskClassificationLoss
from .mask_types import MaskPrediction, MaskTarget
from .networks import MaskNetwork, PixelNetwork
from .pixel_loss import PixelClassificationLoss
from .postprocess import InstanceSegmentation, instance_masks, panoptic_map, semantic_scores

__all__ = [
    'EoMT', 'InstanceSegmentation', 'LinearNet', 'MaskClassificationLoss', 'MaskNetwork', 'MaskPrediction',
    'MaskTarget', 'PixelClassificationLoss', 'PixelNetwork', 'instance_masks', 'panoptic_map', 'semantic_scores'
]
