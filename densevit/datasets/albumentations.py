"""albumentations inside an OpenMMLab pipeline."""
from __future__ import annotations

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import albumentations as A
import numpy as np
from mmcv.transforms import BaseTransform

from ..registry import TRANSFORMS


@TRANSFORMS.register_module()
class AlbumentationsTransform(BaseTransform):
    """Applies albumentations transforms to the image and the semantic label map together.

    Args:
        transforms: Configs such as ``dict(type='Affine', rotate=(-10, 10), p=.5)``; types are albumentations' names.
        seg_fill: Label given to pixels that a transform brings in from outside or covers.

    Raises:
        ValueError: albumentations has no such transform.

    Modified keys: ``img`` (H, W, 3) uint8 in BGR, and every label map of ``seg_fields``.
    """

    def __init__(self, transforms: Sequence[dict[str, Any]], seg_fill: int = 255) -> None:
        self.transforms = [dict(transform) for transform in transforms]
        self.seg_fill = seg_fill
        self.compose = A.Compose([self._build(transform) for transform in self.transforms])

    def _build(self, transform: dict[str, Any]) -> A.BasicTransform:
        arguments = dict(transform)
        cls = _find(arguments.pop('type'))
        if 'fill_mask' in inspect.signature(cls).parameters:
            arguments.setdefault('fill_mask', self.seg_fill)
        return cls(**arguments)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        fields = results.get('seg_fields', [])
        # Drawn from numpy's global state, so that a seeded pipeline repeats itself.
        self.compose.set_random_seed(int(np.random.randint(2**31)))
        image = np.ascontiguousarray(results['img'][..., ::-1])
        output = self.compose(image=image, masks=[results[field] for field in fields])
        results['img'] = np.ascontiguousarray(output['image'][..., ::-1])
        for field, mask in zip(fields, output['masks'], strict=True):
            results[field] = mask
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, seg_fill={self.seg_fill})'


def _find(name: str) -> type[A.BasicTransform]:
    found = getattr(A, name, None)
    if isinstance(found, type) and issubclass(found, A.BasicTransform):
        return found
    known = [key for key, value in vars(A).items() if isinstance(value, type) and issubclass(value, A.BasicTransform)]
    near = get_close_matches(name, known, 1)
    raise ValueError(f"albumentations has no transform '{name}'{f': did you mean {near[0]!r}?' if near else ''}")
