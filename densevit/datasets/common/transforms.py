"""Transforms of images with label maps, masks and boxes that mmcv and mmdetection lack.

Several of them stand for a list of others with one number in it (:class:`Composite`): a config of mmengine cannot
change a list of its base in part, so that without them a whole pipeline is written again for another crop.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Literal

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, Compose

from ...registry import TRANSFORMS


class Composite(BaseTransform):
    """Transforms in a row under one name.

    Args:
        transforms: Their configs.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]]) -> None:
        self.transforms = list(transforms)
        self.compose = Compose(self.transforms)

    def __iter__(self) -> Iterator[BaseTransform]:
        return iter(self.compose)

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        return self.compose(results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms})'


def height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """The sides of a square, or of a rectangle as they are."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


@TRANSFORMS.register_module()
class UntilSegments(Composite):
    """Random transforms of an image, drawn again while nothing to learn from is left in it, as EoMT's code does.

    Instances of which nothing is left are removed.

    Args:
        transforms: Configs of transforms, such as a flip, a resize and a crop.
        tries: How often they are drawn before the dataset is asked for another image.

    Required keys: ``img``, and ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags`` and maybe ``gt_masks``, or
    ``gt_seg_map`` (255 is void), or both.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]], tries: int = 50) -> None:
        super().__init__(transforms)
        self.tries = tries

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        for _ in range(self.tries):
            # Transforms change these in place; annotations of the whole file need no copies.
            drawn = self.compose({key: deepcopy(value) if key == 'img' or key.startswith('gt_') else value
                                  for key, value in results.items()})
            if drawn is not None and keep_seen(drawn):
                return drawn
        return None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, tries={self.tries})'


def keep_seen(results: dict[str, Any]) -> bool:
    """Remove instances without a pixel, or without an area where there are boxes alone.

    Returns:
        Whether an instance that counts, or a labelled pixel, is left.
    """
    seen = np.zeros(0, bool)
    if 'gt_masks' in results or 'gt_bboxes' in results:
        areas = results['gt_masks'].areas if 'gt_masks' in results else results['gt_bboxes'].areas
        kept = np.flatnonzero(np.asarray(areas) > 0)
        for key in ('gt_masks', 'gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            if key in results:
                results[key] = results[key][kept]
        seen = ~results['gt_ignore_flags']
    labels = results.get('gt_seg_map')
    return bool(seen.any() or (labels is not None and (labels != results.get('ignore_index', 255)).any()))


@TRANSFORMS.register_module()
class ScaleJitterCrop(UntilSegments):
    """A flip, a random scale, pads and a crop, drawn again while nothing to learn from is left.

    The large-scale jitter of Copy-Paste (arXiv:2012.07177, section 3.1), as EoMT (arXiv:2503.19108, appendix A) and
    Mask2Former (arXiv:2112.01527, section 4.1) use it.

    Args:
        size: (height, width) of the crop, or the side of a square.
        scales: The image becomes as large as fits into the crop times one of these.
        pad: Value in [0, 255] around an image that is smaller than the crop.
        annotations: ``'segments'``, which mmdetection's transforms move (masks, boxes and a panoptic label map), or
            ``'label_map'``, which mmsegmentation's do.
        tries: See :class:`UntilSegments`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scales: Sequence[float] = (.1, 2.),
        pad: float = 0,
        annotations: Literal['segments', 'label_map'] = 'segments',
        tries: int = 50,
    ) -> None:
        height, width = height_and_width(size)
        # Pillow's filter, unlike OpenCV's, widens to shrink an image.
        scaled = dict(type='mmengine.RandomResize', scale=(width, height), ratio_range=tuple(scales), keep_ratio=True)
        if annotations == 'label_map':
            transforms = [
                dict(type='mmseg.RandomFlip', prob=.5),
                dict(scaled, resize_type='mmseg.Resize', backend='pillow'),
                dict(type='mmengine.Pad', size=(width, height), pad_val=dict(img=pad, seg=255)),
                dict(type='mmseg.RandomCrop', crop_size=(height, width))
            ]
        elif annotations == 'segments':
            transforms = [
                dict(type='mmdet.RandomFlip', prob=.5),
                dict(scaled, resize_type='densevit.ResizeSegments'),
                dict(type='mmdet.Pad', size=(width, height), pad_val=dict(img=pad, masks=0, seg=255)),
                dict(type='mmdet.RandomCrop', crop_size=(width, height), allow_negative_crop=True)
            ]
        else:
            raise ValueError(f"ScaleJitterCrop has annotations={annotations!r}: it is 'segments' or 'label_map'")
        super().__init__(transforms, tries)


@TRANSFORMS.register_module()
class ResizeSegments(BaseTransform):
    """mmdetection's resize by Pillow, masks included.

    ``mmdet.Resize(backend='pillow')`` leaves masks to OpenCV, whose nearest pixel is half a pixel off Pillow's: masks
    of things would not lie on the image and the label map any more.

    Args:
        scale: (width, height), or what the size is to be multiplied by, as in ``mmdet.Resize``.
        options: The other arguments of ``mmdet.Resize``.

    Required and modified keys: those of ``mmdet.Resize``.
    """

    def __init__(self, scale: tuple[int, int] | int | None = None, **options: Any) -> None:
        self.resize = TRANSFORMS.build(dict(type='mmdet.Resize', scale=scale, backend='pillow', **options))

    @property
    def scale(self) -> tuple[int, int] | int | None:
        """What mmcv's random resizes set anew for each image."""
        return self.resize.scale

    @scale.setter
    def scale(self, scale: tuple[int, int]) -> None:
        self.resize.scale = scale

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        masks = results.pop('gt_masks', None)
        results = self.resize(results)
        if masks is not None:
            results['gt_masks'] = _resized(masks, results['img_shape'])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.resize})'


def _resized(masks: Any, shape: tuple[int, int]) -> Any:
    from mmdet.structures.mask import BitmapMasks  # seconds that other tasks need not wait for
    if not isinstance(masks, BitmapMasks) or not len(masks):
        return masks.resize(shape)  # polygons are exact
    pixels = [mmcv.imresize(mask, shape[::-1], interpolation='nearest', backend='pillow') for mask in masks.masks]
    return BitmapMasks(np.stack(pixels), *shape)


@TRANSFORMS.register_module()
class PadInput(BaseTransform):
    """Pads what the network sees, at the right and bottom; ``img_shape`` stays that of the image in it.

    Unlike the padding of data preprocessors it comes before the normalisation, so that pads are as black as those
    of training crops.

    Args:
        size: (height, width) to which smaller images are padded.
        value: The value of the pads, in [0, 255].
    """

    def __init__(self, size: tuple[int, int], value: float = 0) -> None:
        self.size, self.value = tuple(size), value

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        shape = max(height, self.size[0]), max(width, self.size[1])
        results['img'] = mmcv.impad(results['img'], shape=shape, pad_val=self.value)
        results['img_shape'] = height, width
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, value={self.value})'


@TRANSFORMS.register_module()
class ResizeAndPad(Composite):
    """Makes an image as large as fits into a size, whose rest is padded: see :class:`PadInput`.

    Args:
        size: (height, width), or the side of a square.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        height, width = height_and_width(size)
        super().__init__([
            dict(type='mmdet.Resize', scale=(width, height), keep_ratio=True, backend='pillow'),
            dict(type='densevit.PadInput', size=(height, width))
        ])


@TRANSFORMS.register_module()
class PackWithTruth(Composite):
    """mmdetection's ``PackDetInputs`` for tests, with what metrics compare predictions with, where the sample has it.

    That is ``annotations``, the objects of a COCO file, for :class:`densevit.evaluation.InstanceMetric`, and
    ``seg_map_path`` and ``segments_info`` for :class:`densevit.evaluation.PanopticMetric`.
    """

    def __init__(self) -> None:
        super().__init__([
            dict(
                type='mmdet.PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'annotations',
                           'seg_map_path', 'segments_info'))
        ])
