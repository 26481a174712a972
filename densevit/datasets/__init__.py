"""Datasets, samplers and transforms that mmsegmentation and mmdetection lack."""
from .albumentations import AlbumentationsTransform
from .camvid import CamVidDataset
from .seeding import PositionSampler, SeedAugmentation

__all__ = ['AlbumentationsTransform', 'CamVidDataset', 'PositionSampler', 'SeedAugmentation']
