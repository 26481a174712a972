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
    from .common.progressive import ProgressivePatches
    from .common.seeding import PositionSampler, SeedAugmentation
    from .common.stages import InStages
    from .common.transforms import PackWithTruth, PadInput, ResizeAndPad, ResizeSegments, ScaleJitterCrop, UntilSegments
    from .depth.dataset import DepthDataset
    from .depth.transforms import DepthCrop, LoadDepth, PackDepth, ResizeForDepth
    from .detection.dense_one_to_one import AffineMosaic, DenseOneToOne
    from .matting.dataset import MattingDataset
    from .matting.folder import MattingFolderDataset
    from .matting.rendered import Photographs, RenderForeground
    from .matting.transforms import (
        ComposeForeground,
        JitterForeground,
        JoinForegrounds,
        LoadAlpha,
        LoadForeground,
        MattingCrop,
        PackMatting,
        RandomTrimap,
    )
    from .restoration.dataset import RestorationDataset
    from .restoration.degradations import BicubicDown, GaussianNoise, JPEGCompression, OneOf, SyntheticRain
    from .restoration.folder import RestorationFolderDataset
    from .restoration.holes import Holes
    from .restoration.real_world import GaussianBlur, SecondOrderDegradation
    from .restoration.transforms import Degrade, FlipAndTurn, LoadPair, MaskPixels, PackPair, PairedCrop
    from .segmentation.augmentations import ScaleColourCropFlip, ScaleCropFlip, ShortestSideCrop
    from .segmentation.camvid import CamVidDataset
    from .segmentation.folder import LoadColorLabels, MaskFolderDataset
    from .segmentation.panoptic import PanopticADE20KDataset, PanopticDataset
    from .segmentation.panoptic_segments import LoadPanopticSegments

__all__ = [
    'AffineMosaic', 'AlbumentationsTransform', 'AspectRatioBuckets', 'BicubicDown', 'CamVidDataset',
    'CocoInstanceDataset', 'ComposeForeground', 'Degrade', 'DenseOneToOne', 'DepthCrop', 'DepthDataset',
    'FitToBucket', 'FlipAndTurn', 'GaussianBlur', 'GaussianNoise', 'Holes', 'InStages', 'JPEGCompression',
    'JitterForeground', 'JoinForegrounds', 'JoinedDataset', 'LoadAlpha', 'LoadColorLabels', 'LoadDepth',
    'LoadForeground', 'LoadImage', 'LoadPair', 'LoadPanopticSegments', 'MaskFolderDataset', 'MaskPixels',
    'MattingCrop', 'MattingDataset', 'MattingFolderDataset', 'OneOf', 'PackDepth', 'PackMatting', 'PackPair',
    'PackWithTruth', 'PadInput', 'PairedCrop', 'PanopticADE20KDataset', 'PanopticDataset', 'Photographs',
    'PositionSampler', 'ProgressivePatches', 'RandomTrimap', 'RenderForeground', 'ResizeAndPad', 'ResizeForDepth',
    'ResizeSegments', 'RestorationDataset', 'RestorationFolderDataset', 'ScaleColourCropFlip', 'ScaleCropFlip',
    'ScaleJitterCrop', 'SecondOrderDegradation', 'SeedAugmentation', 'ShortestSideCrop', 'SyntheticRain',
    'UntilSegments'
]

_HOMES = dict(
    AffineMosaic='detection.dense_one_to_one',
    AlbumentationsTransform='common.albumentations_transform',
    AspectRatioBuckets='common.buckets',
    BicubicDown='restoration.degradations',
    CamVidDataset='segmentation.camvid',
    CocoInstanceDataset='common.coco_instances',
    ComposeForeground='matting.transforms',
    Degrade='restoration.transforms',
    DenseOneToOne='detection.dense_one_to_one',
    DepthCrop='depth.transforms',
    DepthDataset='depth.dataset',
    FitToBucket='common.buckets',
    FlipAndTurn='restoration.transforms',
    GaussianBlur='restoration.real_world',
    GaussianNoise='restoration.degradations',
    Holes='restoration.holes',
    InStages='common.stages',
    JPEGCompression='restoration.degradations',
    JitterForeground='matting.transforms',
    JoinForegrounds='matting.transforms',
    JoinedDataset='common.joined',
    LoadAlpha='matting.transforms',
    LoadColorLabels='segmentation.folder',
    LoadDepth='depth.transforms',
    LoadForeground='matting.transforms',
    LoadImage='common.load_image',
    LoadPair='restoration.transforms',
    LoadPanopticSegments='segmentation.panoptic_segments',
    MaskFolderDataset='segmentation.folder',
    MaskPixels='restoration.transforms',
    MattingCrop='matting.transforms',
    MattingDataset='matting.dataset',
    MattingFolderDataset='matting.folder',
    OneOf='restoration.degradations',
    PackDepth='depth.transforms',
    PackMatting='matting.transforms',
    PackPair='restoration.transforms',
    PackWithTruth='common.transforms',
    PadInput='common.transforms',
    PairedCrop='restoration.transforms',
    PanopticADE20KDataset='segmentation.panoptic',
    PanopticDataset='segmentation.panoptic',
    Photographs='matting.rendered',
    PositionSampler='common.seeding',
    ProgressivePatches='common.progressive',
    RandomTrimap='matting.transforms',
    RenderForeground='matting.rendered',
    ResizeAndPad='common.transforms',
    ResizeForDepth='depth.transforms',
    ResizeSegments='common.transforms',
    RestorationDataset='restoration.dataset',
    RestorationFolderDataset='restoration.folder',
    ScaleColourCropFlip='segmentation.augmentations',
    ScaleCropFlip='segmentation.augmentations',
    ScaleJitterCrop='common.transforms',
    SecondOrderDegradation='restoration.real_world',
    SeedAugmentation='common.seeding',
    ShortestSideCrop='segmentation.augmentations',
    SyntheticRain='restoration.degradations',
    UntilSegments='common.transforms')


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
