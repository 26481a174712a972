"""Segmentation networks, their losses and the reading of their predictions."""
from .eomt import EoMT
from .mask_loss import MaskClassificationLoss
from .mask_types import MaskPrediction, MaskTarget
from .postprocess import InstanceSegmentation, instance_masks, panoptic_map, semantic_scores

__all__ = [
    'EoMT', 'InstanceSegmentation', 'MaskClassificationLoss', 'MaskPrediction', 'MaskTarget', 'instance_masks',
    'panoptic_map', 'semantic_scores'
]
