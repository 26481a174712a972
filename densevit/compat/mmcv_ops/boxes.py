"""Box overlap and non-maximum suppression behind ``mmcv.ops``.

Boxes are (x1, y1, x2, y2) in pixels. With ``offset=1`` both corners belong to the box, so a side is ``x2 - x1 + 1``.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from .precision import widen

_IOU = 0  # the other mode, 1, divides by the area of the first box alone
_NAIVE, _LINEAR, _GAUSSIAN = 0, 1, 2


def _half_open(boxes: Tensor, offset: int) -> Tensor:
    """Widened boxes whose sides are ``x2 - x1``: the far corner moves by ``offset``."""
    return widen(boxes) + torch.tensor([0, 0, offset, offset], device=boxes.device)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    return sides.clamp(min=0).prod(-1)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of half-open boxes that broadcast together; two boxes without area do not overlap."""
    inter = _intersection(a, b)
    return (inter / (_area(a) + _area(b) - inter)).nan_to_num(0.0)


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int = _IOU, aligned: bool = False, offset: int = 0
) -> None:
    """Write the IoU (mode 0) or intersection over the first box's area (mode 1) into ``ious``.

    Shapes: boxes (m, 4) and (n, 4); ``ious`` is (m, n), or (m,) for ``aligned`` pairs.
    """
    a, b = _half_open(bboxes1, offset), _half_open(bboxes2, offset)
    if not aligned:
        a = a[:, None]
    inter = _intersection(a, b)
    area = _area(a) + _area(b) - inter if mode == _IOU else _area(a)
    ious.copy_(inter / area)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes kept by greedy suppression, best score first.

    A box goes when its IoU with a kept, better one is strictly greater than the threshold. mmcv compares in single
    precision, hence the rounded threshold.
    """
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torchvision.ops.nms(_half_open(boxes, offset), widen(scores), threshold)


def _decay(iou: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """The factor on a score, Soft-NMS (arXiv:1704.04503), eqs. 1-3."""
    if method == _GAUSSIAN:
        return torch.exp(-iou.square() / sigma)
    reduced = torch.zeros_like(iou) if method == _NAIVE else 1 - iou
    return torch.where(iou >= iou_threshold, reduced, 1.0)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS, arXiv:1704.04503, algorithm 1.

    Repeatedly takes the best remaining box and lowers the scores of the others. A lowered score below ``min_score``
    drops its box; the first box is taken whatever its score.

    Shapes: boxes (n, 4), scores (n,). The k kept boxes with their lowered scores fill the first k rows of
    ``dets`` (n, 5); returns their indices, (k,).
    """
    corners, scores = _half_open(boxes, offset), widen(scores)
    left = torch.arange(len(boxes), device=boxes.device)
    kept = []
    while len(left):
        best = scores.argmax()
        dets[len(kept), :4] = boxes[left[best]].to(dets)
        dets[len(kept), 4] = scores[best]
        kept.append(left[best])
        scores = scores * _decay(_iou(corners[best], corners), iou_threshold, sigma, method)
        stays = scores >= min_score
        stays[best] = False
        corners, scores, left = corners[stays], scores[stays], left[stays]
    return torch.stack(kept) if kept else left


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices: each kept box followed by those it suppresses, all by falling score.

    Unlike ``nms``, an IoU equal to the threshold suppresses. Shape of ``dets``: (n, 5), the score last.
    """
    corners = _half_open(dets[:, :4], 0)
    left = dets[:, 4].argsort(descending=True, stable=True)
    groups = []
    while len(left):
        same = _iou(corners[left[0]], corners[left]) >= iou_threshold
        same[0] = True
        groups.append(left[same].tolist())
        left = left[~same]
    return groups
