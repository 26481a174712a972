"""A colour for each segment: its class's, or for one of several instances a shade of it that no neighbour has."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt

import numpy as np

from .palette import Color, oklab, shades

_SHADES = 6  # more would be too much alike under a half-transparent tint
_REACH = 1 / 40  # of the picture's side: instances with no more than that between them are neighbours too


def segment_colors(
    segment_map: np.ndarray,
    labels: np.ndarray,
    palette: Sequence[Color],
    is_instance: np.ndarray,
) -> np.ndarray:
    """Choose colours (N, 3) uint8, the same at every call.

    The first instance of a class has the class's colour. Each further one has, of a few shades of it, the one that
    differs most from those of the segments that it touches, then from those nearby, then the one used least.

    Args:
        segment_map: (H, W) int, the index of the segment at each pixel, -1 for none.
        labels: (N,) class ids.
        palette: RGB colours by class id.
        is_instance: (N,) bool; segments that are no instances have their class's colour.
    """
    colors = np.array(palette, np.uint8).reshape(-1, 3)[labels]
    several = np.bincount(labels[is_instance], minlength=len(palette)) > 1
    shaded = np.flatnonzero(is_instance & several[labels])
    if not len(shaded):
        return colors
    touching = _pairs(segment_map, 1)
    step = max(1, round(_REACH / 2 * sqrt(segment_map.size)))  # a few thousand pixels tell what is near
    near = _pairs(segment_map[::step, ::step], 2)
    done = set(range(len(labels))) - set(shaded.tolist())
    used = defaultdict(Counter)  # by class
    for index in shaded.tolist():
        label = int(labels[index])
        options = np.array(shades(tuple(int(v) for v in palette[label]), _SHADES), np.uint8)
        to_touching, to_near = (_difference(options, colors[[*(pairs[index] & done)]]) for pairs in (touching, near))
        best = max(range(_SHADES), key=lambda i: (to_touching[i], to_near[i], -used[label][i], -i))
        used[label][best] += 1
        colors[index] = options[best]
        done.add(index)
    return colors


def _pairs(segment_map: np.ndarray, distance: int) -> dict[int, set[int]]:
    """Find segments with a pixel at this distance from another's, along a row, a column or a diagonal."""
    height, width = segment_map.shape
    found = defaultdict(set)
    for down, right in ((0, distance), (distance, 0), (distance, distance), (distance, -distance)):
        rows, columns = max(0, height - down), max(0, width - abs(right))
        here, there = max(0, -right), max(0, right)
        one = segment_map[:rows, here:here + columns]
        other = segment_map[down:down + rows, there:there + columns]
        meet = (one != other) & (one >= 0) & (other >= 0)
        for pair in np.unique(one[meet].astype(np.int64) << 32 | other[meet]).tolist():
            a, b = pair >> 32, pair & 0xffffffff
            found[a].add(b)
            found[b].add(a)
    return found


def _difference(options: np.ndarray, others: np.ndarray) -> Iterable[float]:
    """Measure how far each of (K, 3) colours is from the nearest of (M, 3), in Oklab."""
    if not len(others):
        return [0.] * len(options)
    return np.linalg.norm(oklab(options)[:, None] - oklab(others), axis=-1).min(1).round(4).tolist()
