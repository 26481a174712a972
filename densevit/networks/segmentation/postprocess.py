"""From mask proposals to semantic scores, instances and panoptic maps (EoMT, arXiv:2503.19108, appendix A).

The readers take masks a few rows at a time, in any order, so that masks of a large image need not exist as a whole.
"""
from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor


class InstanceSegmentation(NamedTuple):
    """Instances of one image, best first.

    Attributes:
        masks: (n, H, W), bool.
        labels: (n,), int64.
        scores: (n,), in [0, 1].
    """
    masks: Tensor
    labels: Tensor
    scores: Tensor


class RankedInstances(NamedTuple):
    """Instances of one image, best first, that are told by their candidates.

    Attributes:
        candidates: (n,), int64.
        labels: (n,), int64.
        scores: (n,), in [0, 1].
        boxes: (n, 4), float32: ``x0, y0, x1, y1`` in pixels, x1 and y1 exclusive; zeros for an empty mask.
    """
    candidates: Tensor
    labels: Tensor
    scores: Tensor
    boxes: Tensor


def semantic_scores(masks: Tensor, classes: Tensor) -> Tensor:
    """Per-pixel class scores: (..., Q, H, W) and (..., Q, C + 1) logits to (..., C, H, W), float32.

    Autocast takes no part: scores of a class that few pixels tell apart from another would be equal in half precision.
    """
    with torch.autocast(masks.device.type, enabled=False):
        shares = classes.float().softmax(-1)[..., :-1]
        return torch.einsum('...qhw,...qc->...chw', masks.float().sigmoid(), shares)


class InstanceReader:
    """The best (query, class) pairs; a score is the class score times the mean probability inside the mask.

    Args:
        classes: Logits, (Q, C + 1).
        size: Height and width of the masks.
        top_k: How many pairs there are at most.
        score_threshold: Pairs of a lower score are left out, most of them before their masks are looked at.

    Attributes:
        queries: The index of each candidate's mask, (k,), int64.
        labels: The class of each candidate, (k,), int64.
    """

    def __init__(self, classes: Tensor, size: tuple[int, int], top_k: int = 100, score_threshold: float = 0.) -> None:
        num_classes = classes.shape[-1] - 1
        scores, pairs = classes.softmax(-1)[:, :-1].flatten().topk(min(top_k, len(classes) * num_classes))
        sure = scores >= score_threshold  # the other factor is at most 1
        self._scores, self._threshold, pairs = scores[sure], score_threshold, pairs[sure]
        self.queries, self.labels = pairs // num_classes, pairs % num_classes
        self._columns, self._lines = (
            torch.zeros(len(pairs), side, dtype=torch.bool, device=classes.device) for side in size[::-1])
        # One sum in single precision that grows row by row would lose digits.
        self._sums = torch.zeros_like(scores[sure], dtype=torch.float32 if classes.is_mps else torch.float64)
        self._areas = torch.zeros_like(pairs)

    def add(self, rows: slice, logits: Tensor, first: int = 0) -> Tensor:
        """See rows of the masks of candidates ``first`` and following.

        Args:
            logits: (n, rows, W).

        Returns:
            Where the masks are, (n, rows, W), bool.
        """
        group, inside = slice(first, first + len(logits)), logits > 0
        self._sums[group] += (logits.sigmoid() * inside).sum((1, 2))
        self._areas[group] += inside.sum((1, 2))
        self._columns[group] |= inside.any(1)
        self._lines[group, rows] |= inside.any(2)
        return inside

    def rank(self) -> RankedInstances:
        """Candidates in the order of their scores, when all rows of all masks were seen."""
        quality = self._sums.float() / (self._areas + 1e-6)
        scores, order = (self._scores * quality).sort(descending=True, stable=True)
        order = order[scores >= self._threshold]
        return RankedInstances(order, self.labels[order], scores[:len(order)], self._boxes()[order])

    def _boxes(self) -> Tensor:
        sides = []
        for seen in (self._columns, self._lines):
            place = torch.arange(seen.shape[1], device=seen.device)
            start = torch.where(seen, place, seen.shape[1]).amin(1)
            sides.append((start, torch.where(seen, place + 1, 0).amax(1)))
        (x0, x1), (y0, y1) = sides
        return torch.stack((x0, y0, x1, y1), 1).float() * (self._areas > 0)[:, None]


def instance_masks(
    masks: Tensor,
    classes: Tensor,
    top_k: int = 100,
    score_threshold: float = 0.,
) -> InstanceSegmentation:
    """:class:`InstanceReader` on masks (Q, H, W) that exist as a whole."""
    reader = InstanceReader(classes, masks.shape[-2:], top_k, score_threshold)
    inside = reader.add(slice(0, masks.shape[-2]), masks[reader.queries])
    found = reader.rank()
    return InstanceSegmentation(inside[found.candidates], found.labels, found.scores)


class PanopticReader:
    """A panoptic segmentation of one image.

    Every pixel goes to the proposal with the greatest score times mask probability. A segment is what a proposal gets
    of its own mask. Proposals that get fewer pixels, inside of their mask or not, than ``overlap_threshold`` of those
    of their mask are dropped, as in Mask2Former's and EoMT's code; all proposals of one stuff class are one segment.

    A network that is read in another way names a class with these methods as its ``panoptic_reader``; the keyword
    arguments are what ``test_cfg`` may hold.

    Args:
        classes: Logits, (Q, C + 1).
        stuff: Ids of the classes that are not counted, in any order among the thing classes.
        size: Height and width of the masks.

    Attributes:
        queries: The proposals whose masks are wanted, (n,), int64.
    """

    def __init__(
        self,
        classes: Tensor,
        stuff: Collection[int],
        size: tuple[int, int],
        score_threshold: float = .8,
        overlap_threshold: float = .8,
    ) -> None:
        scores, labels = classes.softmax(-1).max(-1)
        keep = (labels != classes.shape[-1] - 1) & (scores > score_threshold)
        self.queries, self._scores, self._labels = keep.nonzero().flatten(), scores[keep], labels[keep]
        self._stuff, self._overlap_threshold = stuff, overlap_threshold
        self._map = torch.full(tuple(size), -1, dtype=torch.int16, device=classes.device)
        self._whole, self._won, self._kept = (torch.zeros_like(self._labels) for _ in range(3))

    def add(self, rows: slice, masks: Tensor) -> None:
        """See rows of the wanted masks: logits (n, rows, W)."""
        if not len(self.queries):
            return
        probs = masks.sigmoid()
        inside = probs >= .5
        self._whole += inside.sum((1, 2))
        owner = probs.mul_(self._scores[:, None, None]).max(0).indices  # on a CPU, argmax takes many times as long
        self._won += owner.flatten().bincount(minlength=len(self.queries))
        owner = torch.where(inside.gather(0, owner[None])[0], owner, -1)
        self._kept += (owner.flatten() + 1).bincount(minlength=len(self.queries) + 1)[1:]
        self._map[rows] = owner

    def read(self) -> tuple[Tensor, Tensor]:
        """Segment ids (H, W), int16, -1 where there is none, and the class of each segment (n,)."""
        found: list[int] = []
        merged: dict[int, int] = {}
        segments = self._map.new_full((len(self.queries) + 1, ), -1)  # the last entry is what -1 points to
        dropped = ((self._kept == 0) | (self._won / self._whole < self._overlap_threshold)).tolist()
        for index, label in enumerate(self._labels.tolist()):
            if dropped[index]:
                continue
            segment = merged.get(label, len(found))
            if segment == len(found):
                found.append(label)
            if label in self._stuff:
                merged[label] = segment
            segments[index] = segment
        for row in self._map.split(64):  # an index is of 8 bytes
            row.copy_(segments[row.long()])
        return self._map, self._labels.new_tensor(found)


def panoptic_map(
    masks: Tensor,
    classes: Tensor,
    stuff: Collection[int],
    score_threshold: float = .8,
    overlap_threshold: float = .8,
) -> tuple[Tensor, Tensor]:
    """:class:`PanopticReader` on masks (Q, H, W) that exist as a whole; segment ids are int64."""
    reader = PanopticReader(classes, stuff, masks.shape[-2:], score_threshold, overlap_threshold)
    reader.add(slice(0, masks.shape[-2]), masks[reader.queries])
    segments, labels = reader.read()
    return segments.long(), labels
