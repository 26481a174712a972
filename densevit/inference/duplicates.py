"""Objects that several tiles of a picture show, found once.

What is usual is to compare all boxes of a picture by their IoU, or by the intersection's share of the smaller one
(SAHI, arXiv:2202.06934; supervision's ``with_nms`` and ``with_nmm``). An object and the piece of it that a neighbouring
tile shows then have a small IoU, so that the piece stays as an object of its own; and the share of the smaller one
takes an object for a piece of the neighbour that it stands in front of. But where a tile ends is known. So

- objects of different tiles are compared where both tiles look: a piece is there as large as the object. What a model
  found in one tile is left as it is, duplicates were its own affair;
- what a border of a tile cuts gives way to what is whole, whatever their scores;
- pieces alone are joined. An object that was seen as a whole has its own box, which those of others would only widen;
- of what is found in the whole picture counts what no tile can show. The rest is smaller than what the model learned,
  and a red blood cell seen from afar is a platelet.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .instances import InstanceMasks, MaskPart

# How far a predicted box may end from the border that cuts the object, as a share of the tile's side.
_BORDER = .01


@dataclass(frozen=True)
class Sightings:
    """N objects as the tiles of a picture show them.

    Attributes:
        boxes: (N, 4) corners in pixels of the picture.
        labels: (N,) label ids.
        scores: (N,) in [0, 1].
        tiles: (N, 4) corners of the tile that shows each; those of the whole picture for what was found in it.
        size: Height and width of the picture.
        masks: N masks, which are compared in place of the boxes; None where there are none.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    tiles: np.ndarray
    size: tuple[int, int]
    masks: InstanceMasks | None = None

    def rank(self) -> np.ndarray:
        """(N,): 0 for what a tile shows as a whole, 1 for what the whole picture does, and 2 for what is cut."""
        end = np.array(self.size[::-1])
        margin = _BORDER * (self.tiles[:, 2:] - self.tiles[:, :2])
        before = (self.tiles[:, :2] > 0) & (self.boxes[:, :2] - self.tiles[:, :2] <= margin)
        after = (self.tiles[:, 2:] < end) & (self.tiles[:, 2:] - self.boxes[:, 2:] <= margin)
        of_picture = (self.tiles == [0, 0, *end]).all(-1)
        return np.where((before | after).any(-1), 2, of_picture)


def beyond_tiles(boxes: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) lie in none of (T, 4) tiles wholly, (N,) bool."""
    inside = (boxes[:, None, :2] >= tiles[:, :2]) & (boxes[:, None, 2:] <= tiles[:, 2:])
    return ~inside.all(-1).any(-1)


class SameObject(NamedTuple):
    """Sightings of one object.

    Attributes:
        best: The index of the one that stands for all.
        others: Indices of the others.
        is_cut: Whether the best is a piece of the object, as are then the others.
    """

    best: int
    others: list[int]
    is_cut: bool


def same_objects(
    seen: Sightings,
    threshold: float = .5,
    metric: Literal['iou', 'ios'] = 'iou',
    class_agnostic: bool = False,
    join: bool = True,
) -> list[SameObject]:
    """Group the sightings of each object, greedily, the best first: what is whole, then what has a high score.

    Args:
        seen: What is grouped.
        threshold: From which overlap on two sightings are one object, in [0, 1].
        metric: The overlap: intersection over union, or over the smaller of the two.
        class_agnostic: Whether objects of different classes may be the same.
        join: Whether pieces of an object that is nowhere seen as a whole are found from piece to piece.
    """
    rank = seen.rank()
    order = np.lexsort((-seen.scores, rank))
    boxes, labels, tiles, rank = seen.boxes[order], seen.labels[order], seen.tiles[order], rank[order]
    masks = None if seen.masks is None else seen.masks[order]
    tile_ids = np.unique(tiles, axis=0, return_inverse=True)[1].reshape(-1)
    (x0, y0), (x1, y1) = boxes[:, :2].T, boxes[:, 2:].T
    left = np.ones(len(order), bool)
    groups = []
    for best in range(len(order)):
        if not left[best]:
            continue
        left[best] = False
        is_cut, members = bool(rank[best] == 2), [best]
        for member in members:  # which grows on the way
            maybe = left & (tile_ids != tile_ids[member])
            maybe &= (x0 < x1[member]) & (x1 > x0[member]) & (y0 < y1[member]) & (y1 > y0[member])
            if not class_agnostic:
                maybe &= labels == labels[member]
            maybe = np.flatnonzero(maybe)
            windows = _intersection(tiles[maybe], tiles[member])
            overlap = _box_overlap(boxes[maybe], boxes[member], windows, metric)
            if masks is not None:
                maybe, windows = maybe[overlap > 0], windows[overlap > 0]
                overlap = _mask_overlap(masks, maybe, member, windows.astype(int), metric)
            found = maybe[(overlap >= threshold) & (overlap > 0)]
            left[found] = False
            members += found.tolist()
            if not (is_cut and join):
                break
        groups.append(SameObject(int(order[best]), order[members[1:]].tolist(), is_cut))
    return groups


def _intersection(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Corners (n, 4) of what boxes have in common; where that is nothing, the second does not lie behind the first."""
    start, end = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    return np.concatenate((start, end), -1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)


def _box_overlap(boxes: np.ndarray, box: np.ndarray, windows: np.ndarray, metric: str) -> np.ndarray:
    """Of boxes (n, 4) with one, within a window for each."""
    boxes, box = _intersection(boxes, windows), _intersection(box, windows)
    return _ratio(_area(_intersection(boxes, box)), _area(boxes), _area(box), metric)


def _mask_overlap(
    masks: InstanceMasks,
    indices: np.ndarray,
    index: int,
    windows: np.ndarray,
    metric: str,
) -> np.ndarray:
    """Of some masks with one, within a window for each."""
    one, counts = masks.part(index), []
    for other, window in zip(map(masks.part, indices), windows, strict=True):
        common = _intersection(_intersection(_corners(one), _corners(other)), window)
        both = np.count_nonzero(_within(one, common) & _within(other, common))
        counts.append((both, np.count_nonzero(_within(other, window)), np.count_nonzero(_within(one, window))))
    return _ratio(*np.array(counts, float).reshape(-1, 3).T, metric)


def _ratio(inside: np.ndarray, area: np.ndarray, other_area: np.ndarray, metric: str) -> np.ndarray:
    whole = area + other_area - inside if metric == 'iou' else np.minimum(area, other_area)
    return np.divide(inside, whole, out=np.zeros(len(inside)), where=whole > 0)


def _corners(part: MaskPart) -> np.ndarray:
    height, width = part.pixels.shape
    return np.array([part.left, part.top, part.left + width, part.top + height])


def _within(part: MaskPart, window: Iterable[int]) -> np.ndarray:
    """The pixels of a mask in a window."""
    x0, y0, x1, y1 = (int(value) for value in window)
    rows = slice(max(0, y0 - part.top), max(0, y1 - part.top))
    return part.pixels[rows, max(0, x0 - part.left):max(0, x1 - part.left)]
