"""From mask proposals to semantic scores, instances and panoptic maps (EoMT, arXiv:2503.19108, appendix A)."""
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


def semantic_scores(masks: Tensor, classes: Tensor) -> Tensor:
    """Per-pixel class scores: (..., Q, H, W) and (..., Q, C + 1) logits to (..., C, H, W)."""
    return torch.einsum('...qhw,...qc->...chw', masks.sigmoid(), classes.softmax(-1)[..., :-1])


def instance_masks(masks: Tensor, classes: Tensor, top_k: int = 100) -> InstanceSegmentation:
    """The best (query, class) pairs; a score is the class score times the mean probability inside the mask.

    Args:
        masks: Logits, (Q, H, W).
        classes: Logits, (Q, C + 1).
    """
    num_classes = classes.shape[-1] - 1
    scores, pairs = classes.softmax(-1)[:, :-1].flatten().topk(min(top_k, len(classes) * num_classes))
    logits = masks[pairs // num_classes]
    inside = logits > 0
    quality = (logits.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
    scores, order = (scores * quality).sort(descending=True, stable=True)
    return InstanceSegmentation(inside[order], (pairs % num_classes)[order], scores)


def panoptic_map(
    masks: Tensor,
    classes: Tensor,
    stuff: Collection[int],
    score_threshold: float = .8,
    overlap_threshold: float = .8,
) -> tuple[Tensor, Tensor]:
    """A panoptic segmentation of one image.

    Every pixel goes to the proposal with the greatest score times mask probability; proposals that keep less than
    ``overlap_threshold`` of their own mask are dropped, and all proposals of one stuff class are one segment.

    Args:
        masks: Logits, (Q, H, W).
        classes: Logits, (Q, C + 1).
        stuff: Ids of the classes that are not counted, in any order among the thing classes.

    Returns:
        Segment ids (H, W), -1 where there is none, and the class of each segment (n,).
    """
    scores, labels = classes.softmax(-1).max(-1)
    keep = (labels != classes.shape[-1] - 1) & (scores > score_threshold)
    segments = torch.full(masks.shape[-2:], -1, dtype=torch.long, device=masks.device)
    found: list[int] = []
    if not keep.any():
        return segments, labels.new_zeros(0)
    probs, scores, labels = masks[keep].sigmoid(), scores[keep], labels[keep]
    owner = (scores[:, None, None] * probs).argmax(0)
    merged: dict[int, int] = {}
    for index, label in enumerate(labels.tolist()):
        whole = probs[index] >= .5
        kept = whole & (owner == index)
        if not kept.any() or kept.sum() / whole.sum() < overlap_threshold:
            continue
        segment = merged.get(label, len(found))
        if segment == len(found):
            found.append(label)
        if label in stuff:
            merged[label] = segment
        segments[kept] = segment
    return segments, labels.new_tensor(found)
