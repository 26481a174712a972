"""A picture beside what it was restored to, and below both a detail of each, magnified."""
from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from PIL import Image

from .legend import BACKGROUND

_PANEL = 768  # the longest side of a panel: a screen shows two
_DETAIL = 1 / 6  # of the shorter side of the picture
_MIN_DETAIL = 16  # pixels


def draw_before_after(before: np.ndarray, after: np.ndarray, detail: bool = True) -> np.ndarray:
    """Draw two pictures side by side, and below them where they differ most, each pixel as a square.

    Args:
        before: (H, W, 3) uint8, RGB.
        after: (sH, sW, 3) uint8, RGB, a whole number of times larger, or of the same size.
        detail: Whether the lower row is drawn.

    Returns:
        (H', W', 3) uint8.

    Raises:
        ValueError: The second picture is no whole number of times larger.
    """
    scale = after.shape[0] // before.shape[0]
    if scale < 1 or after.shape[:2] != (scale * before.shape[0], scale * before.shape[1]):
        raise ValueError(f'a picture of {after.shape[1]}x{after.shape[0]} pixels is not a whole number of times larger '
                         f'than one of {before.shape[1]}x{before.shape[0]}')
    height, width = after.shape[:2]
    size = _panel_size(height, width)
    panels = [Image.fromarray(image).resize(size[::-1], resample)
              for image, resample in ((before, Image.Resampling.NEAREST if size[0] >= height else Image.Resampling.BOX),
                                      (after, Image.Resampling.BOX))]
    gap = max(2, round(sqrt(size[0] * size[1]) / 100))
    rows = [_side_by_side([np.asarray(panel) for panel in panels], gap)]
    if detail:
        top, left, side = _most_changed(before, after, scale)
        parts = before[top:top + side, left:left + side], after[scale * top:scale * (top + side),
                                                               scale * left:scale * (left + side)]
        square = (size[1], size[1])
        rows.append(_side_by_side(
            [np.asarray(Image.fromarray(part).resize(square, Image.Resampling.NEAREST)) for part in parts], gap))
        rows.insert(1, np.full((gap, rows[0].shape[1], 3), BACKGROUND, np.uint8))
    return np.concatenate(rows)


def _side_by_side(panels: list[np.ndarray], gap: int) -> np.ndarray:
    return np.concatenate([panels[0], np.full((panels[0].shape[0], gap, 3), BACKGROUND, np.uint8), panels[1]], 1)


def _panel_size(height: int, width: int) -> tuple[int, int]:
    """Shrunk to what a screen shows; tiny pictures are enlarged by a whole factor."""
    long = max(height, width)
    if long <= _PANEL:
        factor = max(1, 256 // long)
        return factor * height, factor * width
    return max(1, height * _PANEL // long), max(1, width * _PANEL // long)


def _most_changed(before: np.ndarray, after: np.ndarray, scale: int) -> tuple[int, int, int]:
    """Top, left and side, in pixels of the first picture, of the square in which the two differ most.

    Places are compared on a grid of half squares; rows at a time, so that a large picture needs no copy of itself.
    """
    height, width = before.shape[:2]
    side = min(height, width, max(_MIN_DETAIL, ceil(min(height, width) * _DETAIL)))
    step = max(1, side // 2)
    best = -1., 0, 0
    for top in range(0, height - side + 1, step):
        rows = slice(top, top + side)
        enlarged = before[rows].repeat(scale, 0).repeat(scale, 1).astype(np.int16)
        change = np.abs(after[scale * top:scale * (top + side)].astype(np.int16) - enlarged).sum((0, 2), dtype=np.int64)
        sums = np.concatenate([[0], change.cumsum()])
        for left in range(0, width - side + 1, step):
            best = max(best, (float(sums[scale * (left + side)] - sums[scale * left]), -top, -left))
    return -best[1], -best[2], side
