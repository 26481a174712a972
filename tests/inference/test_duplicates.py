"""Objects of several tiles: without borders, what supervision finds; with them, what it cannot know."""
from __future__ import annotations

import numpy as np
import pytest

from densevit.inference.duplicates import Sightings, beyond_tiles, same_objects
from densevit.inference.instances import InstanceMasks

SIZE = (200, 300)


def sightings(count: int, seed: int, with_masks: bool = False) -> Sightings:
    """Boxes in bunches of two classes, each found in a tile of its own that shows the whole picture."""
    generator = np.random.default_rng(seed)
    start = generator.uniform(0, 100, (8, 2))[generator.integers(0, 8, count)] + generator.normal(0, 2, (count, 2))
    boxes = np.concatenate((start, start + generator.uniform(30, 50, (count, 2))), -1).clip(0, 190)
    if with_masks:
        boxes = boxes.round()
    tiles = np.arange(1, count + 1)[:, None] * [-1, -1, 1, 1] + [0, 0, *SIZE[::-1]]
    masks = np.zeros((count, *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = generator.uniform(0, 1, (y1 - y0, x1 - x0)) > .1
    return Sightings(boxes, generator.integers(0, 2, count), generator.permutation(count) / count, tiles, SIZE,
                     InstanceMasks.of(masks, SIZE) if with_masks else None)


def predictions(seen: Sightings, class_agnostic: bool) -> np.ndarray:
    columns = [seen.boxes, seen.scores[:, None], *[seen.labels[:, None]] * (not class_agnostic)]
    return np.concatenate(columns, -1)


@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('metric', ['iou', 'ios'])
@pytest.mark.parametrize('threshold', [.3, .5, .7])
def test_boxes__as_supervision(class_agnostic, metric, threshold):
    """Groups are those of its non-maximum merging, and the best of each what its non-maximum suppression keeps."""
    sv = pytest.importorskip('supervision')
    options = dict(iou_threshold=threshold, overlap_metric=sv.OverlapMetric[metric.upper()])
    for seed in range(5):
        seen = sightings(60, seed)
        groups = same_objects(seen, threshold, metric, class_agnostic)
        theirs = sv.box_non_max_merge(predictions(seen, class_agnostic), **options)
        assert sorted([group.best, *group.others] for group in groups) == sorted(theirs)
        kept = sv.box_non_max_suppression(predictions(seen, class_agnostic), **options)
        assert sorted(group.best for group in groups) == np.flatnonzero(kept).tolist() and 2 < kept.sum() < 60


@pytest.mark.parametrize('metric', ['iou', 'ios'])
def test_masks__as_supervision(metric):
    sv = pytest.importorskip('supervision')
    for seed in range(3):
        seen = sightings(40, seed, with_masks=True)
        groups = same_objects(seen, .5, metric)
        kept = sv.mask_non_max_suppression(
            predictions(seen, False), np.asarray(seen.masks), .5, sv.OverlapMetric[metric.upper()])
        assert sorted(group.best for group in groups) == np.flatnonzero(kept).tolist()


def two_tiles(*objects: tuple[int, tuple[int, ...], float], last_tile=(100, 0, 260, 200)) -> Sightings:
    """Objects of a tile, 0 or 1, by box and score; the tiles have the columns from 100 to 160 in common."""
    tiles = np.array([(0, 0, 160, 200), last_tile])
    indices, boxes, scores = zip(*objects, strict=True)
    return Sightings(np.array(boxes, float), np.zeros(len(boxes), int), np.array(scores), tiles[list(indices)], SIZE)


def test_a_piece_is_compared_where_both_tiles_look():
    """Of the object's 60 pixels the other tile shows 20: an IoU of 1/3 of the boxes, of 1 in what both show."""
    piece, whole, neighbour = (1, (100, 50, 120, 80), .9), (0, (60, 50, 120, 80), .6), (1, (115, 45, 135, 80), .8)
    groups = same_objects(two_tiles(piece, whole, neighbour))
    assert [(group.best, group.others, group.is_cut) for group in groups] == [(2, [], False), (1, [0], False)]


def test_pieces_are_found_from_piece_to_piece():
    """Three tiles in a row, of which the first and the last have nothing in common."""
    tiles = np.array([(0, 0, 120, 200), (90, 0, 210, 200), (180, 0, 300, 200)])
    boxes = np.array([(20, 50, 120, 80), (90, 51, 210, 79), (180, 50, 260, 80)], float)
    seen = Sightings(boxes, np.zeros(3, int), np.array([.9, .8, .7]), tiles, SIZE)
    (group,) = same_objects(seen)
    assert (group.best, group.others, group.is_cut) == (0, [1, 2], True)
    assert [group.best for group in same_objects(seen, join=False)] == [0, 2]


def test_what_the_whole_picture_shows_takes_pieces_but_not_what_a_tile_shows_whole():
    seen = two_tiles((0, (20, 20, 160, 180), .9), (0, (30, 100, 60, 130), .7), (1, (8, 8, 222, 190), .6),
                     (1, (29, 99, 62, 133), .95), last_tile=(0, 0, *SIZE[::-1]))
    groups = {group.best: group.others for group in same_objects(seen)}
    assert groups == {1: [3], 2: [0]}


def test_beyond_tiles():
    tiles = np.array([(0, 0, 100, 100), (80, 0, 180, 100)])
    boxes = np.array([(0, 0, 100, 100), (85, 5, 175, 95), (70, 5, 110, 20), (10, 90, 30, 101), (90, 20, 95, 30)])
    assert beyond_tiles(boxes, tiles).tolist() == [False, False, True, True, False]
    assert beyond_tiles(boxes[:0], tiles).shape == (0,) and beyond_tiles(boxes, tiles[:0]).all()


def test_nothing():
    assert same_objects(sightings(0, 0)) == [] and same_objects(sightings(0, 0, with_masks=True)) == []
