"""Datasets, samplers and transforms that mmsegmentation and mmdetection lack."""
from .common.albumentations_transform import AlbumentationsTransform
from .common.load_image import LoadImage
from .common.seeding import PositionSampler, SeedAugmentation
from .segmentation.camvid import CamVidDataset
from .segmentation.coco_instance import CocoInstanceDataset
from .segmentation.panoptic import PanopticADE20KDataset, PanopticDataset
from .segmentation.panoptic_segments import LoadPanopticSegments
from .segmentation.transforms import PadInput, ResizeSegments, UntilSegments

__all__ = [
    'AlbumentationsTransform', 'CamVidDataset', 'CocoInstanceDataset', 'LoadImage', 'LoadPanopticSegments', 'PadInput',
    'PanopticADE20KDataset', 'PanopticDataset', 'PositionSampler', 'ResizeSegments', 'SeedAugmentation',
    'UntilSegments'
]
