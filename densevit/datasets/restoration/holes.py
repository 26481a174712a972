"""Holes in images, drawn: what a network that fills them learns from."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS
from .degradations import Range, checked, drawn
from .transforms import generator_of

# In a row, of shapes that would hide more than the share.
_MAX_REFUSED = 20


@TRANSFORMS.register_module()
class Holes(BaseTransform):
    """Hides parts of the image that is to be restored: strokes as of a brush, and rectangles.

    Strokes are lines of a few bends with round ends, after the free-form masks of DeepFill v2 (Yu et al.,
    arXiv:1806.03589, section 3.4). All sizes are in pixels, so that crops to learn from and whole pictures to validate
    on have the same holes; a picture has more of them.

    Hidden pixels are 0. It stands behind what degrades, in most pipelines last before ``densevit.PackPair``; pictures
    of ``predict`` stay whole and have the mask that a user gives.

    Args:
        share: Of the pixels that are hidden, a pair of numbers for one that is drawn evenly between them. Shapes that
            would hide more than the larger number are left out, so that it may be missed by less than one of them.
        width: Of strokes, drawn for each.
        length: Between two bends of a stroke, drawn for each.
        bends: The most that a stroke has.
        side: Of rectangles, drawn for both sides.
        rectangles: The share of shapes that are rectangles.
        seed: As that of ``densevit.Degrade``.

    Added keys: ``mask``, (H, W) bool, True where hidden.

    Raises:
        ValueError: A share is not between 0 and 1.
    """

    def __init__(
        self,
        share: Range = (.1, .4),
        width: Range = (8, 32),
        length: Range = (8, 64),
        bends: int = 5,
        side: Range = (16, 64),
        rectangles: float = .3,
        seed: int | None = None,
    ) -> None:
        self.share = checked(share, 'share of Holes', .001, .999)
        self.width, self.length, self.side = (checked(value, f'{name} of Holes', 1) for name, value in (
            ('width', width), ('length', length), ('side', side)))
        self.bends = checked(bends, 'bends of Holes', 0)
        self.rectangles, self.seed = checked(rectangles, 'rectangles of Holes', 0, 1), seed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if 'gt_img' not in results:
            return results
        image = results['img']
        mask = self.draw(image.shape[:2], generator_of(results, self.seed))
        results['mask'] = mask
        results['img'] = np.where(mask[..., None] if image.ndim == 3 else mask, image.dtype.type(0), image)
        return results

    def draw(self, size: Sequence[int], random: np.random.Generator) -> np.ndarray:
        """A mask of (height, width), bool, True where hidden."""
        mask = np.zeros(size, np.uint8)
        wanted = drawn(self.share, random)
        most = max(self.share) if isinstance(self.share, Sequence) else self.share
        refused = 0
        while mask.mean() < wanted and refused < _MAX_REFUSED:
            shape = mask.copy()
            (self._rectangle if random.random() < self.rectangles else self._stroke)(shape, random)
            if shape.mean() > most:
                refused += 1
            else:
                mask, refused = shape, 0
        return mask.astype(bool)

    def _rectangle(self, mask: np.ndarray, random: np.random.Generator) -> None:
        """Its centre lies anywhere in the image."""
        for_axis = []
        for length in mask.shape:
            side, centre = drawn(self.side, random), random.uniform(0, length)
            for_axis.append(slice(max(0, round(centre - side / 2)), max(0, round(centre + side / 2))))
        mask[tuple(for_axis)] = 1

    def _stroke(self, mask: np.ndarray, random: np.random.Generator) -> None:
        """Bends of up to a right angle to either side."""
        width = max(1, round(drawn(self.width, random)))
        place = np.array([random.uniform(0, mask.shape[1]), random.uniform(0, mask.shape[0])])  # x, y
        direction = random.uniform(0, 2 * math.pi)
        points = [place]
        for _ in range(random.integers(1, self.bends + 2)):
            step = drawn(self.length, random)
            points.append(points[-1] + step * np.array([math.cos(direction), math.sin(direction)]))
            direction += random.uniform(-math.pi / 2, math.pi / 2)
        # OpenCV ends thick lines round.
        cv2.polylines(mask, [np.rint(points).astype(np.int32)], False, 1, width)
