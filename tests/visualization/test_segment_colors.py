"""Instances that lie side by side have colours that can be told apart."""
from __future__ import annotations

import numpy as np
import pytest

from densevit.visualization.palette import oklab, shades
from densevit.visualization.segment_colors import segment_colors

PALETTE = ((220, 20, 60), (0, 114, 178), (230, 159, 0))


def tiles(rows: int, columns: int, side: int = 20, gap: int = 0) -> np.ndarray:
    """A brick wall: segment k in row k // columns, every second row shifted by half a brick."""
    found = np.full((rows * side, columns * side + side // 2), -1, np.int32)
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        x = column * side + row % 2 * side // 2
        found[row * side:(row + 1) * side - gap, x:x + side - gap] = index
    return found


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(oklab(a) - oklab(b)))


@pytest.mark.parametrize('gap', [0, 3])
def test_neighbours_differ(gap):
    segment_map = tiles(8, 8, gap=gap)
    colors = segment_colors(segment_map, np.zeros(64, int), PALETTE, np.ones(64, bool))
    assert {tuple(color) for color in colors.tolist()} <= set(shades(PALETTE[0], 6))
    assert colors[0].tolist() == list(PALETTE[0])
    for y, x in np.argwhere(segment_map[:-20, :-20] >= 0)[::7]:
        here, right, below = (segment_map[y, x], segment_map[y, x + 20], segment_map[y + 20, x])
        for other in (right, below):
            assert other < 0 or distance(colors[here], colors[other]) > 0.05
    np.testing.assert_array_equal(colors, segment_colors(segment_map, np.zeros(64, int), PALETTE, np.ones(64, bool)))


def test_only_several_instances_of_a_class_are_shaded():
    labels, is_instance = np.array([0, 0, 1, 2, 0]), np.array([True, True, True, False, False])
    colors = segment_colors(tiles(1, 5), labels, PALETTE, is_instance)
    assert colors[[0, 2, 3, 4]].tolist() == [list(PALETTE[label]) for label in (0, 1, 2, 0)]
    assert colors[1].tolist() in [list(color) for color in shades(PALETTE[0], 6)[1:]]


def test_instances_far_apart_use_all_shades():
    segment_map = np.full((400, 400), -1, np.int32)
    for index in range(6):
        segment_map[60 * index, 60 * index] = index
    colors = segment_colors(segment_map, np.ones(6, int), PALETTE, np.ones(6, bool))
    assert colors.tolist() == [list(color) for color in shades(PALETTE[1], 6)]


def test_any_size_and_no_segment():
    nothing = np.zeros(0, int)
    for size in ((1, 1), (1, 9), (9, 1)):
        assert segment_colors(np.full(size, -1), nothing, PALETTE, nothing.astype(bool)).shape == (0, 3)
        assert segment_colors(np.zeros(size, int), np.zeros(2, int), PALETTE, np.ones(2, bool)).shape == (2, 3)
