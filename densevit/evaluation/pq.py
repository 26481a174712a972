"""Panoptic quality (Kirillov et al., arXiv:1801.00868, section 4), with the rules of void and crowd of COCO's code."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

VOID = -1


class PanopticCounts(NamedTuple):
    """What is summed over images, for each class: four arrays (C,).

    Attributes:
        iou: Sum over the matched segments.
        tp, fp, fn: Matched segments, and unmatched ones of the prediction and of the ground truth.
    """
    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray

    @classmethod
    def zeros(cls, num_classes: int) -> PanopticCounts:
        return cls(*np.zeros((4, num_classes)))

    def add(self, other: PanopticCounts) -> None:
        """Add another image's, in place."""
        for total, part in zip(self, other, strict=True):
            total += part


def panoptic_counts(
    truth: np.ndarray,
    truth_labels: Sequence[int],
    crowds: Sequence[bool],
    predicted: np.ndarray,
    predicted_labels: Sequence[int],
    num_classes: int,
) -> PanopticCounts:
    """Compare two panoptic segmentations of an image.

    A predicted and a true segment of one class match if their IoU is above 1/2, where pixels that are void in the
    ground truth count for neither. A crowd is matched by nothing and missed by nobody. A predicted segment without a
    match is no error if more than half of it is void or crowd of its class, of which the last counts if there are
    several.

    Args:
        truth, predicted: Maps (H, W) of the indices of segments, -1 for void.
        truth_labels, predicted_labels: The class of each segment.
        crowds: Whether each true segment is a crowd.
        num_classes: The number of classes, C.

    Raises:
        ValueError: The maps differ in size.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f'the prediction has {predicted.shape} pixels and the ground truth {truth.shape}: predictions '
                         'are compared at the original size of an image')
    truth_labels, predicted_labels = np.asarray(truth_labels, int), np.asarray(predicted_labels, int)
    crowds = np.asarray(crowds, bool)
    shared = _intersections(truth, len(truth_labels), predicted, len(predicted_labels))
    area, predicted_area = shared.sum(1)[:-1], shared.sum(0)[:-1]
    inside, void = shared[:-1, :-1], shared[-1, :-1]
    union = area[:, None] + (predicted_area - void) - inside
    iou = inside / np.maximum(union, 1)
    iou[(truth_labels[:, None] != predicted_labels) | crowds[:, None] | (iou <= .5)] = 0.
    matches, matched = np.nonzero(iou)
    missed = np.setdiff1d(np.flatnonzero(~crowds), matches)
    excused = void.copy()
    crowd_of = {int(truth_labels[index]): index for index in np.flatnonzero(crowds)}
    for index, label in enumerate(predicted_labels.tolist()):
        if label in crowd_of:
            excused[index] += inside[crowd_of[label], index]
    wrong = np.flatnonzero(excused <= .5 * predicted_area)
    wrong = wrong[predicted_area[wrong] > 0]  # a segment without a pixel is none
    wrong = np.setdiff1d(wrong, matched)
    return PanopticCounts(
        np.bincount(truth_labels[matches], iou[matches, matched], num_classes).astype(float),
        *(np.bincount(labels, minlength=num_classes).astype(float) for labels in (
            truth_labels[matches], predicted_labels[wrong], truth_labels[missed])))


def _intersections(truth: np.ndarray, num_true: int, predicted: np.ndarray, num_predicted: int) -> np.ndarray:
    """Pixels that two segments share, (n + 1, m + 1) int64; the last row and column are void."""
    rows = np.where(truth < 0, num_true, truth).astype(np.int64)
    columns = np.where(predicted < 0, num_predicted, predicted)
    size = (num_true + 1) * (num_predicted + 1)
    return np.bincount((rows * (num_predicted + 1) + columns).ravel(), minlength=size).reshape(num_true + 1, -1)


def panoptic_quality(counts: PanopticCounts, isthing: Sequence[bool]) -> dict[str, Any]:
    """Compute PQ, SQ and RQ in [0, 1], means over the classes that occur in the ground truth or the predictions.

    Args:
        counts: The counts of all images.
        isthing: Whether each class is one of things.

    Returns:
        ``PQ``, ``SQ``, ``RQ``; the same with ``_th`` and ``_st`` of things and stuff, where there are such classes;
        ``per_class``: arrays (C,) of the three, NaN for a class that does not occur.
    """
    total = counts.tp + .5 * counts.fp + .5 * counts.fn
    with np.errstate(invalid='ignore', divide='ignore'):
        per_class = dict(
            PQ=counts.iou / total,
            SQ=np.where(counts.tp > 0, counts.iou / counts.tp, np.where(total > 0, 0., np.nan)),
            RQ=counts.tp / total)
    isthing = np.asarray(isthing, bool)
    quality: dict[str, Any] = {}
    for suffix, chosen in (('', np.ones_like(isthing)), ('_th', isthing), ('_st', ~isthing)):
        chosen = chosen & (total > 0)
        if chosen.any():
            quality.update({f'{name}{suffix}': float(values[chosen].mean()) for name, values in per_class.items()})
    return dict(quality, per_class=per_class)


def indexed(ids: np.ndarray, wanted: Mapping[int, int]) -> np.ndarray:
    """A map of segment ids as one of indices; -1 for ids that are not wanted.

    Args:
        wanted: Index by id.
    """
    present, position = np.unique(ids, return_inverse=True)
    table = np.array([wanted.get(id_, VOID) for id_ in present.tolist()], np.int64)
    return table[position.reshape(ids.shape)]
