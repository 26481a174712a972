from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest

from densevit.visualization import draw_boxes
from densevit.visualization.palette import relative_luminance

CLASSES, PALETTE = ('cat', 'dog'), ((200, 0, 0), (0, 0, 200))


def gray(height: int, width: int, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def changed(picture: np.ndarray, image: np.ndarray) -> np.ndarray:
    return (picture != image).any(-1)


def color_share(picture: np.ndarray, color: tuple[int, ...]) -> float:
    return float((picture == color).all(-1).mean())


def test_frames_lie_around_boxes_in_the_colour_of_the_class():
    image = gray(480, 640)
    picture = draw_boxes(image, np.array([[50, 60, 250, 260], [400, 100, 600, 400]]), [0, 1], classes=CLASSES,
                         palette=PALETTE)
    assert picture.shape == image.shape and picture.dtype == np.uint8 and (image == 100).all()
    assert picture[150, 48:50].tolist() == [[200, 0, 0]] * 2 and picture[150, 250].tolist() == [200, 0, 0]
    assert picture[400, 500].tolist() == [0, 0, 200]
    assert not changed(picture, image)[60:260, 50:250].any() and not changed(picture, image)[100:400, 400:600].any()
    for index, color in enumerate(PALETTE):  # the label: on the class's colour, letters of the other lightness
        top = picture[(40, 78)[index]:(58, 98)[index], (50, 400)[index]:(250, 600)[index]]
        assert color_share(top, color) > 0.05 and color_share(top, (255, 255, 255)) > 0.002


def test_name_and_score_stand_apart_in_small_letters():
    picture = draw_boxes(gray(120, 160, 0), np.array([[20, 60, 140, 110]]), [0], [0.82], classes=['Platelets'],
                         palette=[(0, 0, 0)])
    gaps = np.diff(np.flatnonzero((picture[46:57] > 40).any(0).all(-1)))
    assert (gaps >= 4).sum() == 1 and gaps.max() >= 4, gaps


def test_a_frame_is_seen_on_any_ground():
    for value, color in product((0, 128, 255), [(0, 0, 0), (255, 255, 255), (0, 114, 178), (128, 128, 128)]):
        picture = draw_boxes(gray(200, 200, value), np.array([[60, 60, 140, 140]]), [0], classes='a', palette=[color])
        lights = [relative_luminance(pixel) + 0.05 for pixel in picture[100, 50:60]]
        assert max(lights) / min(lights) > 1.8, (value, color)


@pytest.mark.parametrize('size', [(1, 1), (7, 3), (80, 100), (3, 3000), (1500, 2000)])
def test_any_size(size):
    height, width = size
    boxes = np.array([[0, 0, width, height], [width / 4, height / 4, width / 2, height / 2], [-5, -5, 1, 1],
                      [width - 1, height - 1, width + 9, height + 9]])
    masks = np.zeros((4, height, width), bool)
    masks[:3, :height // 2 + 1, :width // 2 + 1] = True
    for legend in (False, True):
        picture = draw_boxes(gray(height, width), boxes, [0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], masks, CLASSES, PALETTE,
                             legend=legend)
        assert max(picture.shape[:2]) >= 256 if legend else picture.shape[:2] == size
        assert color_share(picture, PALETTE[0]) + color_share(picture, PALETTE[1]) > 0


def test_labels_neither_overlap_nor_hide_boxes_nor_the_picture():
    """Of 300 boxes, each frame is drawn; of labels as many as leave the picture to be seen."""
    generator = np.random.default_rng(0)
    start = generator.uniform(0, 1, (300, 2)) * [800, 600]
    boxes = np.concatenate([start, start + np.exp(generator.uniform(1.5, 5, (300, 2)))], axis=-1)
    image, labels, scores = gray(600, 800), generator.integers(0, 2, 300), generator.uniform(0, 1, 300)
    picture = draw_boxes(image, boxes, labels, scores, classes=CLASSES, palette=PALETTE)
    # Each has a frame: the middle of one of its sides is of a class's colour, or under a label.
    middle_x, middle_y = boxes[:, ::2].clip(0, 800).mean(-1), boxes[:, 1::2].clip(0, 600).mean(-1)
    seen = changed(picture, image)
    left, top = boxes.round().astype(int).T[:2]
    for x1, y1, x, y in zip(left, top, middle_x.astype(int), middle_y.astype(int), strict=True):
        assert seen[y, max(x1 - 1, 0)] or seen[max(y1 - 1, 0), x]
    assert not seen.all() and (picture == 255).all(-1).mean() < 1 / 8


def test_small_objects_stay_visible():
    """Nothing is drawn over a box of four pixels, alone or in a row of many."""
    image = gray(480, 640)
    boxes = np.array([[x, y, x + 4, y + 4] for x in range(20, 620, 30) for y in range(20, 460, 20)])
    seen = changed(draw_boxes(image, boxes, np.zeros(len(boxes), int), np.ones(len(boxes)), classes=CLASSES), image)
    hidden = [seen[y1:y2, x1:x2].mean() for x1, y1, x2, y2 in boxes]
    assert max(hidden) <= 0.2
    assert all(seen[y1 - 1, x1:x2].all() for x1, y1, x2, _ in boxes)


def test_masks_are_tinted_and_outlined():
    image, mask = gray(100, 100), np.zeros((1, 100, 100), bool)
    mask[0, 20:60, 20:60] = True
    picture = draw_boxes(image, np.array([[20, 20, 60, 60]]), [0], masks=mask, classes=CLASSES, palette=PALETTE,
                         opacity=0.5)
    assert picture[50, 50].tolist() == [150, 50, 50] and picture[80, 80].tolist() == [100, 100, 100]
    assert picture[40, 20].tolist() == [100, 15, 15]  # 0.85 * half of the colour + 0.15 * 100
    both = draw_boxes(image, np.array([[20, 20, 60, 60]]), [0], masks=mask, classes=CLASSES, palette=PALETTE,
                      opacity=0.5, legend=True)
    assert both[150, 150].tolist() == [150, 50, 50]  # enlarged three times


def test_what_cannot_be_drawn_is_left_out():
    image = gray(50, 50)
    boxes = np.array([[np.nan, 0, 10, 10], [0, 0, np.inf, 10], [60, 60, 90, 90], [-20, -20, -5, -5]])
    np.testing.assert_array_equal(draw_boxes(image, boxes, np.zeros(4, int), np.full(4, np.nan)), image)
    np.testing.assert_array_equal(draw_boxes(image, np.zeros((0, 4)), np.zeros(0), legend=True)[:250, :250],
                                  gray(250, 250))


def test_what_does_not_agree_is_refused():
    for named, change in (
        ('uint8', dict(image=np.zeros((5, 5), np.uint8))), ('scores', dict(scores=[0.5, 0.5])),
        ('classes', dict(labels=[2])), ('classes', dict(labels=[-1])),
        ('palette', dict(palette=PALETTE[:1], labels=[1])), ('opacity', dict(opacity=2)),
        ('mask', dict(masks=np.ones((1, 4, 4), bool))),
    ):
        options = dict(image=gray(9, 9), boxes=[[1, 1, 5, 5]], labels=[0], classes=CLASSES) | change
        with pytest.raises(ValueError, match=named):
            draw_boxes(**options)


def test_memory_is_bounded_at_24_megapixels():
    """What a picture, and masks one at a time, take: not more with more of them."""
    image, mask = gray(4000, 6000), np.ones((4000, 6000), bool)
    count = 5
    boxes = np.tile([[10., 10, 5990, 3990]], (count, 1))
    tracemalloc.start()
    draw_boxes(image, boxes, np.zeros(count, int), np.ones(count), [mask] * count, CLASSES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * image.nbytes, f'{peak / image.nbytes:.1f} pictures'
