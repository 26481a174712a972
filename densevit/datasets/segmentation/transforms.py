"""Transforms for masks that mmcv and mmdetection lack."""
from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, Compose

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class UntilSegments(BaseTransform):
    """Random transforms of an image, drawn again while nothing to learn from is left in it, as EoMT's code does.

    Instances of which no pixel is left are removed.

    Args:
        transforms: Configs, such as of a flip, a resize and a crop.
        tries: Draws before the dataset is asked for another image.

    Required keys: ``img``, and ``gt_masks`` with ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_ignore_flags``, or
    ``gt_seg_map`` (255 is void), or both.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]], tries: int = 50) -> None:
        self.transforms, self.tries = list(transforms), tries
        self.compose = Compose(self.transforms)

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
    """Remove instances without a pixel; whether an instance that counts, or a labelled pixel, is left."""
    seen = np.zeros(0, bool)
    if 'gt_masks' in results:
        seen = np.asarray(results['gt_masks'].areas) > 0
        kept = np.flatnonzero(seen)
        for key in ('gt_masks', 'gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][kept]
        seen = ~results['gt_ignore_flags']
    labels = results.get('gt_seg_map')
    return bool(seen.any() or (labels is not None and (labels != results.get('ignore_index', 255)).any()))


@TRANSFORMS.register_module()
class ResizeSegments(BaseTransform):
    """mmdetection's resize by Pillow, masks included.

    ``mmdet.Resize(backend='pillow')`` leaves masks to OpenCV, whose nearest pixel is half a pixel off Pillow's: masks
    of things would not lie on the image and the label map any more.

    Args:
        scale: (width, height), or what it is to be multiplied by, as in ``mmdet.Resize``.
        options: Of ``mmdet.Resize``.

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
        value: In [0, 255].
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
