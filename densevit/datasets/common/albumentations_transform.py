"""albumentations inside an OpenMMLab pipeline."""
from __future__ import annotations

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import albumentations as A
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .transforms import keep_seen


@TRANSFORMS.register_module()
class AlbumentationsTransform(BaseTransform):
    """Applies albumentations transforms to an image, its label maps and its instances together.

    Where a transform moves pixels, boxes become those of the moved masks, and instances of which nothing is left are
    removed.

    Args:
        transforms: Configs of transforms, such as ``dict(type='Affine', rotate=(-10, 10), p=.5)``; types are
            albumentations' names.
        seg_fill: The label given to pixels that a transform brings in from outside or covers.

    Raises:
        ValueError: albumentations has no such transform; or it moves boxes that have no masks.

    Modified keys: ``img`` (H, W, 3) uint8 in BGR; ``gt_seg_map`` and the label maps of ``seg_fields``; ``gt_masks``
    with ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]], seg_fill: int = 255) -> None:
        self.transforms = [dict(transform) for transform in transforms]
        self.seg_fill = seg_fill
        self._inside = 2 if seg_fill == 1 else 1  # of instances: what is filled lies outside of them
        self.compose = A.Compose([self._build(transform) for transform in self.transforms])
        self.moves = any(isinstance(transform, A.DualTransform) for transform in self.compose.transforms)

    def _build(self, transform: dict[str, Any]) -> A.BasicTransform:
        arguments = dict(transform)
        cls = _find(arguments.pop('type'))
        if 'fill_mask' in inspect.signature(cls).parameters:
            arguments.setdefault('fill_mask', self.seg_fill)
        return cls(**arguments)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        # A panoptic annotation's label map is not among seg_fields.
        fields = [name for name in dict.fromkeys((*results.get('seg_fields', ()), 'gt_seg_map')) if name in results]
        segments = self._segments(results)
        # Drawn from numpy's global state, so that a seeded pipeline repeats itself.
        self.compose.set_random_seed(int(np.random.randint(2**31)))
        image = np.ascontiguousarray(results['img'][..., ::-1])
        output = self.compose(image=image, masks=[*(results[field] for field in fields), *segments])
        results['img'] = np.ascontiguousarray(output['image'][..., ::-1])
        results['img_shape'] = results['img'].shape[:2]
        results.update(zip(fields, output['masks'], strict=False))
        if len(segments):
            _replace_segments(results, np.stack(output['masks'][len(fields):]) == self._inside)
        return results

    def _segments(self, results: dict[str, Any]) -> np.ndarray:
        """Masks (n, H, W) of the instances, if they are to be moved."""
        if not self.moves or not len(results.get('gt_bboxes', ())):
            return np.zeros(0)
        if 'gt_masks' not in results:
            raise ValueError('AlbumentationsTransform moves boxes by their masks: load them (mmdet.LoadAnnotations, '
                             f"with_mask=True), or leave {', '.join(each['type'] for each in self.transforms)} to "
                             "mmdetection's transforms")
        return results['gt_masks'].to_ndarray().astype(np.uint8) * np.uint8(self._inside)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, seg_fill={self.seg_fill})'


def _replace_segments(results: dict[str, Any], masks: np.ndarray) -> None:
    from mmdet.structures.mask import BitmapMasks  # seconds that other tasks need not wait for
    results['gt_masks'] = BitmapMasks(masks.astype(np.uint8), *masks.shape[1:])
    results['gt_bboxes'] = results['gt_masks'].get_bboxes('hbox')
    keep_seen(results)


def _find(name: str) -> type[A.BasicTransform]:
    found = getattr(A, name, None)
    if isinstance(found, type) and issubclass(found, A.BasicTransform):
        return found
    known = [key for key, value in vars(A).items() if isinstance(value, type) and issubclass(value, A.BasicTransform)]
    near = get_close_matches(name, known, 1)
    raise ValueError(f"albumentations has no transform '{name}'{f': did you mean {near[0]!r}?' if near else ''}")
