"""Datasets, samplers and transforms that mmsegmentation and mmdetection lack."""
from .albumentations import AlbumentationsTransform
from .camvid import CamVidDataset
from .coco_instance import CocoInstanceDataset
from .load_image import LoadImage
from .panoptic import PanopticADE20KDataset, PanopticDataset
from .panoptic_segments import LoadPanopticSegments
from .seeding import PositionSampler, SeedAugmentation
from .segment_transforms import PadInput, ResizeSegments, UntilSegments

__all__ = [
    'AlbumentationsTransform', 'CamVidDataset', 'CocoInstanceDataset', 'LoadImage', 'LoadPanopticSegments', 'PadInput',
    'PanopticADE20KDataset', 'PanopticDataset', 'PositionSampler', 'ResizeSegments', 'SeedAugmentation',
    'UntilSegments'
]
