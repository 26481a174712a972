from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from densevit.inference.tasks.segmentation import SegmentationResult
from densevit.visualization import draw_comparison, draw_overlay
from densevit.visualization.legend import LegendEntry, legend_below, legend_beside, percent_text
from densevit.visualization.overlay import segment_outlines
from densevit.visualization.palette import shades

PALETTE = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def halves(height: int, width: int, gray: int = 100) -> SegmentationResult:
    """Left half class 0, right half class 2, the last row unlabelled."""
    labels = np.zeros((height, width), int)
    labels[:, width // 2:] = 2
    if height > 1:
        labels[-1] = -1
    image = np.full((height, width, 3), gray, np.uint8)
    return SegmentationResult.from_semantic(image, labels, ['left', 'none', 'right'], PALETTE)


def colors(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {(code >> 16, code >> 8 & 255, code & 255) for code in np.unique(picture @ [1 << 16, 1 << 8, 1]).tolist()}


def test_draw_overlay__blends(tmp_path):
    result = halves(300, 400)
    overlay = draw_overlay(result.image, result, opacity=0.25, legend=False)
    assert overlay.shape == (300, 400, 3) and overlay.dtype == np.uint8
    assert overlay[100, 100].tolist() == [125, 75, 75]
    assert overlay[100, 300].tolist() == [75, 75, 125]
    assert overlay[299, 100].tolist() != [125, 75, 75]
    assert (result.image == 100).all()


def test_draw_overlay__opacity_ends_and_unlabelled_pixels_stay():
    result = halves(20, 20)
    np.testing.assert_array_equal(draw_overlay(result.image, result, 0, legend=False), result.image)
    assert draw_overlay(result.image, result, 1, legend=False)[3, 3].tolist() == [200, 0, 0]
    nothing = SegmentationResult.from_semantic(np.full((300, 400, 3), 100, np.uint8), np.full((300, 400), -1), ['a'])
    np.testing.assert_array_equal(draw_overlay(nothing.image, nothing), nothing.image)


def test_draw_overlay__outlines_darken_the_class_colour():
    result = halves(100, 100)
    overlay = draw_overlay(result.image, result, 0.5, legend=False)
    assert overlay[40, 50].tolist() == [15, 15, 100]  # 0.15 * 100 + 0.85 * (0, 0, 100)
    assert overlay[40, 49].tolist() == [150, 50, 50] and overlay[40, 51].tolist() == [50, 50, 150]


def test_segment_outlines():
    segment_map = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]])
    assert segment_outlines(segment_map).tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 1]]
    assert segment_outlines(segment_map, thickness=2).tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert not segment_outlines(np.zeros((1, 1), int)).any()


def test_draw_overlay__legend_lists_only_what_is_present():
    result = halves(300, 280)
    picture = draw_overlay(result.image, result)
    panel = picture[:, 280:]
    assert picture.shape[0] == 300 and panel.shape[1] > 60
    assert {(200, 0, 0), (0, 0, 200)} <= colors(panel) and (0, 200, 0) not in colors(panel)


def test_draw_overlay__legend_where_there_is_room():
    for size, below in (((300, 280), False), ((280, 400), True), ((400, 280), False)):
        picture = draw_overlay(halves(*size).image, halves(*size))
        assert (picture.shape[0] > size[0], picture.shape[1] > size[1]) == (below, not below)


@pytest.mark.parametrize('draw', [draw_overlay, draw_comparison])
def test_any_size_gets_a_legible_legend(draw):
    for size in ((1, 1), (7, 3), (3, 20000), (20000, 3), (1, 2000)):
        result = halves(*size)
        picture = draw(result.image, result)
        assert max(picture.shape[:2]) >= 256 and min(picture.shape[:2]) >= 20
        assert (32, 32, 32) in colors(picture)  # the text
        assert picture.size < 3 * 20100 * 400, 'the legend must not blow the picture up'


def test_draw_comparison__picture_beside_overlay_or_above_it():
    result = halves(300, 400)
    picture = draw_comparison(result.image, result)
    np.testing.assert_array_equal(picture[:300, :400], result.image)
    np.testing.assert_array_equal(picture[:300, 403:803], draw_overlay(result.image, result, legend=False))
    wide = halves(200, 600)
    picture = draw_comparison(wide.image, wide, legend=False)
    assert picture.shape == (403, 600, 3)
    np.testing.assert_array_equal(picture[203:], draw_overlay(wide.image, wide, legend=False))


def two_halves(labels: list[int]) -> SegmentationResult:
    image = np.full((100, 100, 3), 100, np.uint8)
    masks = np.zeros((2, 100, 100), bool)
    masks[0, :, :50] = masks[1, :, 50:] = True
    return SegmentationResult.from_instances(image, masks, labels, [0.9, 0.8], ['a', 'b'], PALETTE)


def test_instances_that_touch_differ_and_are_outlined():
    result = two_halves([1, 1])
    overlay = draw_overlay(result.image, result, legend=False)
    left, outline, right = (overlay[50, x].tolist() for x in (20, 50, 80))
    assert left == [50, 150, 50]  # the first one has the class's colour
    (second,) = (shade for shade in shades((0, 200, 0), 6) if np.allclose(right, np.add(shade, 100) / 2, atol=0.5))
    np.testing.assert_allclose(outline, 0.15 * 100 + 0.85 * (np.array(second) // 2), atol=0.5)
    assert max(abs(a - b) for a, b in zip(left, right, strict=True)) > 20


def test_legend__has_the_class_once_with_the_number_of_instances():
    result = two_halves([1, 1])
    panel = draw_overlay(result.image, result)[:300, 300:]  # enlarged three times
    expected = legend_beside([LegendEntry('b', (0, 200, 0), 1.0, 2)], 13, 300)
    np.testing.assert_array_equal(panel[:expected.shape[0]], expected)
    assert LegendEntry('b', (0, 200, 0), 1.0, 1234).text == 'b (1,234)' and LegendEntry('b', (0, 0, 0), 1.0).text == 'b'


def test_refused():
    result = halves(30, 40)
    with pytest.raises(ValueError, match='shape'):
        draw_overlay(result.image[:-1], result)
    with pytest.raises(ValueError, match='opacity'):
        draw_overlay(result.image, result, opacity=1.5)


def test_equal_class_names_keep_their_colours():
    result = replace(halves(300, 280), classes=('same', 'same', 'same'))
    assert {(200, 0, 0), (0, 0, 200)} <= colors(draw_overlay(result.image, result)[:, 280:])


def test_legend__columns():
    entries = [LegendEntry(f'class {index}', (index, 0, 255), 0.01) for index in range(40)]
    wide, narrow = legend_below(entries, 16, 2000), legend_below(entries, 16, 10)
    assert wide.shape[1] <= 2000 and wide.shape[0] < narrow.shape[0] / 8
    tall, flat = legend_beside(entries, 16, 2000), legend_beside(entries, 16, 10)
    assert tall.shape[0] <= 2000 and tall.shape[1] < flat.shape[1] / 8
    for panel in (wide, narrow, tall, flat):
        assert {entry.color for entry in entries} <= colors(panel)


def test_legend__long_names_are_cut_and_shares_are_short():
    short, long = (legend_below([LegendEntry('x' * count, (1, 2, 3), 0.5)], 16, 100) for count in (40, 4000))
    assert abs(long.shape[1] - short.shape[1]) < 16
    texts = {1: '100.0%', 0.123: '12.3%', 0.0006: '0.1%', 0.0004: '<0.1%', 0: '0.0%'}
    assert {value: percent_text(value) for value in texts} == texts
