"""Datasets, samplers and transforms that mmsegmentation and mmdetection lack.

``common`` serves every task, and there is a folder for what a task needs beside it. Names are imported when they are
first used, by Python or by the registry, so that a task does not wait for the packages of another.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .common.albumentations_transform import AlbumentationsTransform
    from .common.buckets import AspectRatioBuckets, FitToBucket
    from .common.coco_instances import CocoInstanceDataset
    from .common.joined import JoinedDataset
    from .common.load_image import LoadImage
    from .common.seeding import PositionSampler, SeedAugmentation
    from .common.stages import InStages
    from .common.transforms import PackWithTruth, PadInput, ResizeAndPad, ResizeSegments, ScaleJitterCrop, UntilSegments
    from .depth.dataset import DepthDataset
    from .depth.transforms import DepthCrop, LoadDepth, PackDepth, ResizeForDepth
    from .detection.dense_one_to_one import AffineMosaic, DenseOneToOne
    from .matting.dataset import MattingDataset
    from .matting.transforms import (
        ComposeForeground,
        LoadAlpha,
        LoadForeground,
        MattingCrop,
        PackMatting,
        RandomTrimap,
    )
    from .segmentation.augmentations import ScaleColourCropFlip, ScaleCropFlip, ShortestSideCrop
    from .segmentation.camvid import CamVidDataset
    from .segmentation.folder import LoadColorLabels, MaskFolderDataset
    from .segmentation.panoptic import PanopticADE20KDataset, PanopticDataset
    from .segmentation.panoptic_segments import LoadPanopticSegments

__all__ = [
    'AffineMosaic', 'AlbumentationsTransform', 'AspectRatioBuckets', 'CamVidDataset', 'CocoInstanceDataset',
    'ComposeForeground', 'DenseOneToOne', 'DepthCrop', 'DepthDataset', 'FitToBucket', 'InStages', 'JoinedDataset',
    'LoadAlpha', 'LoadColorLabels', 'LoadDepth', 'LoadForeground', 'LoadImage', 'LoadPanopticSegments',
    'MaskFolderDataset', 'MattingCrop', 'MattingDataset', 'PackDepth', 'PackMatting', 'PackWithTruth', 'PadInput',
    'PanopticADE20KDataset', 'PanopticDataset', 'PositionSampler', 'RandomTrimap', 'ResizeAndPad', 'ResizeForDepth',
    'ResizeSegments', 'ScaleColourCropFlip', 'ScaleCropFlip', 'ScaleJitterCrop', 'SeedAugmentation',
    'ShortestSideCrop', 'UntilSegments'
]

_HOMES = dict(
    AffineMosaic='detection.dense_one_to_one',
    AlbumentationsTransform='common.albumentations_transform',
    AspectRatioBuckets='common.buckets',
    CamVidDataset='segmentation.camvid',
    CocoInstanceDataset='common.coco_instances',
    ComposeForeground='matting.transforms',
    DenseOneToOne='detection.dense_one_to_one',
    DepthCrop='depth.transforms',
    DepthDataset='depth.dataset',
    FitToBucket='common.buckets',
    InStages='common.stages',
    JoinedDataset='common.joined',
    LoadAlpha='matting.transforms',
    LoadColorLabels='segmentation.folder',
    LoadDepth='depth.transforms',
    LoadForeground='matting.transforms',
    LoadImage='common.load_image',
    LoadPanopticSegments='segmentation.panoptic_segments',
    MaskFolderDataset='segmentation.folder',
    MattingCrop='matting.transforms',
    MattingDataset='matting.dataset',
    PackDepth='depth.transforms',
    PackMatting='matting.transforms',
    PackWithTruth='common.transforms',
    PadInput='common.transforms',
    PanopticADE20KDataset='segmentation.panoptic',
    PanopticDataset='segmentation.panoptic',
    PositionSampler='common.seeding',
    RandomTrimap='matting.transforms',
    ResizeAndPad='common.transforms',
    ResizeForDepth='depth.transforms',
    ResizeSegments='common.transforms',
    ScaleColourCropFlip='segmentation.augmentations',
    ScaleCropFlip='segmentation.augmentations',
    ScaleJitterCrop='common.transforms',
    SeedAugmentation='common.seeding',
    ShortestSideCrop='segmentation.augmentations',
    UntilSegments='common.transforms')


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
