"""A picture beside what it was restored to, and the true one where it is known; below, a detail of each, magnified."""
from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from PIL import Image, ImageDraw

from .legend import BACKGROUND, TEXT, display_font_size, load_font

_PANEL = 768  # the longest side of a panel: a screen shows two
_DETAIL = 1 / 6  # of the shorter side of the picture
_MIN_DETAIL = 16  # pixels
_MIN_LETTERS = 8  # pixels: smaller ones cannot be read


def draw_before_after(
    before: np.ndarray,
    after: np.ndarray,
    detail: bool = True,
    true: np.ndarray | None = None,
    captions: Sequence[str] = (),
) -> np.ndarray:
    """Draw pictures side by side, and below them where the first two differ most, each pixel as a square.

    Args:
        before: (H, W, 3) uint8, RGB.
        after: (sH, sW, 3) uint8, RGB, a whole number of times larger, or of the same size.
        detail: Whether the lower row is drawn.
        true: The true picture, of the size of ``after``, as a third panel.
        captions: A line of text below each of the panels; empty for none.

    Returns:
        (H', W', 3) uint8.

    Raises:
        ValueError: The second picture is no whole number of times larger, or the true one has another size.
    """
    scale = after.shape[0] // before.shape[0]
    if scale < 1 or after.shape[:2] != (scale * before.shape[0], scale * before.shape[1]):
        raise ValueError(f'a picture of {after.shape[1]}x{after.shape[0]} pixels is not a whole number of times larger '
                         f'than one of {before.shape[1]}x{before.shape[0]}')
    if true is not None and true.shape != after.shape:
        raise ValueError(f'the true picture has {true.shape[1]}x{true.shape[0]} pixels and the restored one '
                         f'{after.shape[1]}x{after.shape[0]}: give one of its size')
    height, width = after.shape[:2]
    size = _panel_size(height, width)
    images = [before, after] if true is None else [before, after, true]
    gap = max(2, round(sqrt(size[0] * size[1]) / 100))
    rows = [_side_by_side([_shown(image, size) for image in images], gap)]
    if detail:
        top, left, side = _most_changed(before, after, scale)
        parts = [image[factor * top:factor * (top + side), factor * left:factor * (left + side)]
                 for image, factor in zip(images, (1, scale, scale), strict=False)]
        square = (size[1], size[1])
        rows += [np.full((gap, rows[0].shape[1], 3), BACKGROUND, np.uint8), _side_by_side(
            [np.asarray(Image.fromarray(part).resize(square, Image.Resampling.NEAREST)) for part in parts], gap)]
    if captions:
        rows.append(_captions(captions, size[1], gap))
    return np.concatenate(rows)


def _shown(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resample = Image.Resampling.NEAREST if size[0] >= image.shape[0] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize(size[::-1], resample))


def _side_by_side(panels: list[np.ndarray], gap: int) -> np.ndarray:
    space = np.full((panels[0].shape[0], gap, 3), BACKGROUND, np.uint8)
    return np.concatenate([panels[0], *(part for panel in panels[1:] for part in (space, panel))], 1)


def _captions(captions: Sequence[str], width: int, gap: int) -> np.ndarray:
    """A strip (h, W, 3) with a text below each panel, in letters that all of them have room for."""
    size = display_font_size(width, width)
    while size > _MIN_LETTERS and max(load_font(size).getlength(text) for text in captions) > width:
        size -= 1
    strip = Image.new('RGB', (len(captions) * (width + gap) - gap, round(1.8 * size)), (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(strip)
    for index, text in enumerate(captions):
        draw.text((index * (width + gap) + width / 2, strip.height / 2), text, fill=TEXT, font=load_font(size),
                  anchor='mm')
    return np.asarray(strip)


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
