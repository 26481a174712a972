"""A segmentation drawn over its picture: blended colours, thin outlines, a legend."""
from __future__ import annotations

from math import sqrt
from typing import Protocol

import numpy as np

from .legend import BACKGROUND, LegendEntry, add_legend, display_factor, display_font_size
from .palette import Color
from .segment_colors import segment_colors

# Below this size, outlines would cover what they outline.
_MIN_OUTLINED_SIDE = 32


class Segments(Protocol):
    """What can be drawn; :class:`densevit.inference.SegmentationResult` says what each part holds."""

    segment_map: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    is_instance: np.ndarray

    @property
    def image_size(self) -> tuple[int, int]: ...

    def pixels_by_label(self) -> list[tuple[int, int]]: ...

    def instances_by_label(self) -> dict[int, int]: ...


def draw_overlay(
    image: np.ndarray,
    result: Segments,
    opacity: float = 0.5,
    legend: bool = True,
) -> np.ndarray:
    """Tint and outline each segment in the colour of its class; several instances of a class have shades of it.

    Args:
        image: (H, W, 3) uint8, RGB, of the result's size.
        result: The segments.
        opacity: Opacity of the tint, in [0, 1].
        legend: Whether a panel is added with colour, name, number of instances and share of the classes present,
            largest first. A picture with a legend that is less than 256 pixels long is enlarged by a whole factor.

    Returns:
        (H, W, 3) uint8 without a legend, (H', W', 3) with it.

    Raises:
        ValueError: The picture's size is not the result's, or the opacity lies outside [0, 1].
    """
    _check(image, result, opacity)
    if not legend:
        return _tint(image, result.segment_map, _segment_colors(result), opacity)
    image, segment_map = _enlarge_tiny(image, result.segment_map)
    overlay = _tint(image, segment_map, _segment_colors(result), opacity)
    return add_legend(overlay, _entries(result), display_font_size(*image.shape[:2]))


def draw_comparison(
    image: np.ndarray,
    result: Segments,
    opacity: float = 0.5,
    legend: bool = True,
) -> np.ndarray:
    """Draw the picture beside its overlay, or above it if both are wide.

    Arguments, sizes and errors are those of :func:`draw_overlay`.
    """
    _check(image, result, opacity)
    image, segment_map = _enlarge_tiny(image, result.segment_map)
    overlay = _tint(image, segment_map, _segment_colors(result), opacity)
    height, width = image.shape[:2]
    gap = max(2, round(sqrt(height * width) / 100))
    if width > 2 * height:
        space = np.full((gap, width, 3), BACKGROUND, np.uint8)
        pair = np.concatenate([image, space, overlay], axis=0)
    else:
        space = np.full((height, gap, 3), BACKGROUND, np.uint8)
        pair = np.concatenate([image, space, overlay], axis=1)
    return add_legend(pair, _entries(result), display_font_size(height, width)) if legend else pair


def segment_outlines(segment_map: np.ndarray, thickness: int = 1) -> np.ndarray:
    """Find the pixels at the border of two segments: (H, W) int to (H, W) bool, lines of ``thickness`` pixels."""
    outlines = np.zeros(segment_map.shape, bool)
    outlines[:, 1:] |= segment_map[:, 1:] != segment_map[:, :-1]
    outlines[1:] |= segment_map[1:] != segment_map[:-1]
    for _ in range(thickness - 1):
        wider = outlines.copy()
        wider[:, :-1] |= outlines[:, 1:]
        wider[:-1] |= outlines[1:]
        outlines = wider
    return outlines


def _check(image: np.ndarray, result: Segments, opacity: float) -> None:
    if image.shape != (*result.image_size, 3):
        raise ValueError(f'the picture has shape {image.shape}, but the result is for {(*result.image_size, 3)}')
    if not 0 <= opacity <= 1:
        raise ValueError(f'opacity must lie in [0, 1], got {opacity}')


def _segment_colors(result: Segments) -> np.ndarray:
    """(N, 3) uint8."""
    return segment_colors(result.segment_map, result.labels, result.palette, result.is_instance)


def _tint(image: np.ndarray, segment_map: np.ndarray, colors: np.ndarray, opacity: float) -> np.ndarray:
    """Blend (N, 3) colours over the picture; pixels that belong to no segment (-1) stay as they are."""
    colors = np.concatenate([colors, np.zeros((1, 3), np.uint8)])  # index -1 is the last
    tint = colors[segment_map]  # (H, W, 3)
    weight = np.where(segment_map >= 0, np.float32(opacity), np.float32(0))[..., None]
    if opacity > 0 and min(segment_map.shape) >= _MIN_OUTLINED_SIDE:
        outlines = segment_outlines(segment_map, thickness=max(1, round(sqrt(segment_map.size) / 700)))
        # Half-bright colour of the segment, opaque: visible on light and dark ground, and it still says which class.
        tint = np.where(outlines[..., None], tint // 2, tint)
        weight = np.where(outlines[..., None], np.float32(0.85), weight)
    return np.rint(image * (1 - weight) + tint * weight).astype(np.uint8)


def _enlarge_tiny(image: np.ndarray, segment_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    factor = display_factor(*segment_map.shape)
    if factor == 1:
        return image, segment_map
    return tuple(array.repeat(factor, axis=0).repeat(factor, axis=1) for array in (image, segment_map))


def _entries(result: Segments) -> list[LegendEntry]:
    total, instances = result.segment_map.size, result.instances_by_label()
    return [LegendEntry(result.classes[label], result.palette[label], pixels / total, instances.get(label))
            for label, pixels in result.pixels_by_label()]
