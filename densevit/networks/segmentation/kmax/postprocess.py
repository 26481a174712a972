"""Reading masks that compete for pixels, as kMaX-DeepLab's (arXiv:2207.04044) do."""
from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor


def competing_log_odds(masks: Tensor) -> Tensor:
    """Log odds of the softmax over queries: (..., Q, H, W) to the same, whose sigmoid is the softmax.

    What all other queries amount to is never a difference of nearly equal numbers: the greatest logit of a pixel is
    compared with the others' sum, and any other one has a share of at most a half.
    """
    logits = masks.float()
    top = logits.argmax(-3, keepdim=True)
    others = logits.scatter(-3, top, -torch.inf).logsumexp(-3, keepdim=True)
    best = logits.gather(-3, top) - others
    shares = logits - logits.logsumexp(-3, keepdim=True)
    odds = shares - torch.log1p(-shares.exp().clamp(max=.5))  # the bound is for the greatest, which is replaced
    limits = torch.finfo(masks.dtype)
    return odds.scatter(-3, top, best).clamp(limits.min, limits.max).to(masks.dtype)


class KMaXPanopticReader:
    """A panoptic segmentation of one image, in the way of MaX-DeepLab (arXiv:2012.00759).

    Proposals take their pixels one after another, best first; one that would keep too little of its mask is dropped,
    and all proposals of one stuff class are one segment. The defaults are those for COCO. Cityscapes has thresholds of
    0.5 and 0.3 for classes, 0.9 for overlaps, and ``mask_power=0``; ADE20K has 0.4 for all but overlaps.

    Args:
        classes: Logits, (Q, C + 1).
        stuff: Ids of the classes that are not counted, in any order among the thing classes.
        size: Height and width of the masks.
        thing_threshold, stuff_threshold: A proposal's class score is above the one of its kind.
        pixel_threshold: A mask is where its probability is above this.
        overlap_threshold: A mask keeps more than this share of its pixels.
        class_power, mask_power: Exponents of the class score and of the mean probability inside the mask, whose product
            ranks proposals.

    Attributes:
        queries: The proposals whose masks are wanted, (n,), int64.
    """

    def __init__(
        self,
        classes: Tensor,
        stuff: Collection[int],
        size: tuple[int, int],
        thing_threshold: float = .7,
        stuff_threshold: float = .5,
        pixel_threshold: float = .4,
        overlap_threshold: float = .8,
        class_power: float = 1.,
        mask_power: float = 1.,
    ) -> None:
        if not 0 < pixel_threshold < 1:
            raise ValueError(f'test_cfg.pixel_threshold={pixel_threshold}: choose a probability between 0 and 1')
        scores, labels = classes.softmax(-1)[:, :-1].max(-1)
        is_stuff = torch.isin(labels, labels.new_tensor(sorted(stuff)))
        keep = scores > torch.where(is_stuff, stuff_threshold, thing_threshold)
        self.queries, self._scores, self._labels = keep.nonzero().flatten(), scores[keep]**class_power, labels[keep]
        self._stuff, self._pixel_threshold, self._overlap_threshold = stuff, pixel_threshold, overlap_threshold
        self._mask_power = mask_power
        # Probabilities of a pixel sum to 1, so that few masks can be at one; resized masks may sum to a little more.
        depth = min(math.ceil(1 / pixel_threshold), len(self.queries))
        self._owners = torch.full((depth, *size), -1, dtype=torch.int16, device=classes.device)
        self._areas = torch.zeros_like(self._labels)
        # In double precision, so that a sum that grows row by row loses no digits.
        self._sums = self._scores.new_zeros(
            len(self.queries), dtype=torch.float32 if self._scores.is_mps else torch.float64)

    def add(self, rows: slice, masks: Tensor) -> None:
        """See rows of the wanted masks: log odds (n, rows, W)."""
        if not len(self.queries):
            return
        probs = masks.sigmoid()
        inside = probs > self._pixel_threshold
        self._areas += inside.sum((1, 2))
        self._sums += (probs * inside).sum((1, 2))
        best, owners = probs.topk(len(self._owners), 0)
        self._owners[:, rows] = torch.where(best > self._pixel_threshold, owners, -1).to(torch.int16)

    def read(self) -> tuple[Tensor, Tensor]:
        """Segment ids (H, W), int16, -1 where there is none, and the class of each segment (n,)."""
        segments = self._owners.new_full(self._owners.shape[1:], -1)
        found: list[int] = []
        merged: dict[int, int] = {}
        for index in self._ranked():
            own = (self._owners == index).any(0) & (segments < 0)
            if not own.sum() > self._overlap_threshold * self._areas[index]:
                continue
            label = int(self._labels[index])
            segment = merged.get(label, len(found))
            if segment == len(found):
                found.append(label)
            if label in self._stuff:
                merged[label] = segment
            segments[own] = segment
        return segments, self._labels.new_tensor(found)

    def _ranked(self) -> list[int]:
        quality = (self._sums / self._areas.clamp(min=1)).to(self._scores)
        return (self._scores * quality**self._mask_power).argsort(descending=True, stable=True).tolist()
