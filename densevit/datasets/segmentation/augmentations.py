"""Augmentations of published recipes for semantic and panoptic segmentation, each with the crop as its argument."""
from __future__ import annotations

from collections.abc import Sequence

from ...registry import TRANSFORMS
from ..common.transforms import Composite, UntilSegments, height_and_width


@TRANSFORMS.register_module()
class ScaleCropFlip(Composite):
    """mmsegmentation's: a random scale, a crop of which no class fills more than a share, a flip, changed colours.

    Args:
        size: (height, width) of the crop, or the side of a square.
        scale: (longer, shorter side) in pixels of an image at a ratio of 1.
        ratio_range: What the scale is multiplied by.
        cat_max_ratio: The largest share of a crop that one class may fill; 10 crops are tried.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[int],
        ratio_range: Sequence[float] = (.5, 2.),
        cat_max_ratio: float = .75,
    ) -> None:
        super().__init__([
            dict(type='mmengine.RandomResize', scale=tuple(scale), ratio_range=tuple(ratio_range),
                 resize_type='mmseg.Resize', keep_ratio=True),
            dict(type='mmseg.RandomCrop', crop_size=height_and_width(size), cat_max_ratio=cat_max_ratio),
            dict(type='mmseg.RandomFlip', prob=.5),
            dict(type='mmseg.PhotoMetricDistortion')
        ])


@TRANSFORMS.register_module()
class ShortestSideCrop(Composite):
    """Mask2Former's on ADE20K (arXiv:2112.01527, section 4.1): one of 16 sizes, a crop, changed colours, a flip, pads.

    Args:
        size: The side of the crop; the shorter side of an image becomes 0.5, 0.6, ..., 2 times as long.
        longest: What the longer side of an image may be at most, in pixels.
    """

    def __init__(self, size: int, longest: int) -> None:
        scales = [(longest, int(share * .1 * size)) for share in range(5, 21)]
        super().__init__([
            # Pillow's filter, unlike OpenCV's, widens to shrink an image.
            dict(type='mmengine.RandomChoiceResize', scales=scales, resize_type='mmseg.Resize', keep_ratio=True,
                 backend='pillow'),
            dict(type='mmseg.RandomCrop', crop_size=(size, size)),
            dict(type='mmseg.PhotoMetricDistortion'),
            dict(type='mmseg.RandomFlip', prob=.5),
            dict(type='mmengine.Pad', size=(size, size), pad_val=dict(img=128, seg=255))
        ])


@TRANSFORMS.register_module()
class ScaleColourCropFlip(UntilSegments):
    """kMaX-DeepLab's (arXiv:2207.04044) in the authors' code: a random scale, changed colours, a crop, a flip.

    Images that are smaller than the crop are not padded: the data preprocessor does that, after the normalisation.

    Args:
        size: The side of the crop.
        scales: The image becomes as large as fits into the crop times one of these.
        tries: See :class:`UntilSegments`.
    """

    def __init__(self, size: int, scales: Sequence[float], tries: int = 50) -> None:
        super().__init__([
            dict(type='mmengine.RandomResize', scale=(size, size), ratio_range=tuple(scales),
                 resize_type='densevit.ResizeSegments', keep_ratio=True),
            dict(type='mmseg.PhotoMetricDistortion'),
            dict(type='mmdet.RandomCrop', crop_size=(size, size), allow_negative_crop=True),
            dict(type='mmdet.RandomFlip', prob=.5)
        ], tries)
