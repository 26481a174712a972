"""Box operators through `mmcv.ops`, against loops written from the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')


def random_boxes(n: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * torch.tensor([60.0, 30.0])
    side = 5 + torch.rand(n, 2, generator=generator) * 25
    scores = torch.randperm(n, generator=generator) / n + 0.01  # all different: the order is determined
    return torch.cat([corner, corner + side], 1).to(dtype), scores.to(dtype)


def iou(a: list[float], b: list[float], offset: int = 0, over_first: bool = False) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a if over_first else area_a + area_b - width * height)


def greedy_nms(boxes: list, scores: list, threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[k], boxes[i], offset) <= threshold for k in kept):
            kept.append(i)
    return kept


def soft_nms(boxes: list, scores: list, threshold: float, sigma: float, min_score: float, method: str, offset: int):
    scores, left, kept = dict(enumerate(scores)), set(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        kept.append((best, scores[best]))
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], offset)
            factor = {
                'naive': 0.0 if overlap >= threshold else 1.0,
                'linear': 1 - overlap if overlap >= threshold else 1.0,
                'gaussian': math.exp(-(overlap**2) / sigma),
            }[method]
            scores[i] *= factor
            if scores[i] < min_score:
                left.remove(i)
    return [i for i, _ in kept], [score for _, score in kept]


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_matches_greedy_suppression(offset):
    for dtype in [torch.float16, torch.bfloat16, torch.float32, torch.float64]:
        boxes, scores = random_boxes(80, dtype)
        dets, kept = ops.nms(boxes, scores, 0.3, offset=offset)
        expected = greedy_nms(boxes.tolist(), random_boxes(80)[1].tolist(), 0.3, offset)
        if dtype.itemsize == 2:  # close scores become equal: any order among them is right
            assert abs(len(kept) - len(expected)) <= 4
        else:
            assert kept.tolist() == expected
        assert 10 < len(kept) < 60
        torch.testing.assert_close(dets, torch.cat([boxes[kept], scores[kept, None]], 1))


def test_nms_offset_decides_where_both_conventions_differ():
    boxes = torch.tensor([[0.0, 0, 9, 9], [5.0, 0, 14, 9]])  # IoU 36/126 in one convention, 50/150 in the other
    scores = torch.tensor([0.9, 0.8])
    assert len(ops.nms(boxes, scores, 0.3, offset=0)[1]) == 2
    assert len(ops.nms(boxes, scores, 0.3, offset=1)[1]) == 1


def test_nms_keeps_a_box_at_exactly_the_threshold_and_handles_no_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 6]])  # IoU 0.6, above 0.6 only by float32 rounding
    assert len(ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.6)[1]) == 2
    assert len(ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.59)[1]) == 1
    assert ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].shape == (0,)


def test_nms_limits_scores_and_count_and_takes_arrays():
    boxes, scores = random_boxes(50)
    dets, kept = ops.nms(boxes.numpy(), scores.numpy(), 0.5, score_threshold=0.4, max_num=5)
    assert isinstance(kept, np.ndarray) and len(kept) == 5 and dets[:, 4].min() > 0.4


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_suppresses_within_a_class_only(split_thr):
    boxes, scores = random_boxes(60)
    labels = torch.arange(60) % 3
    _, kept = ops.batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.4, split_thr=split_thr))
    expected = []
    for label in range(3):
        own = (labels == label).nonzero().squeeze(1)
        expected += own[greedy_nms(boxes[own].tolist(), scores[own].tolist(), 0.4, 0)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_matches_algorithm_1(method):
    for dtype in [torch.float32, torch.float64]:
        for offset in [0, 1]:
            boxes, scores = random_boxes(60, dtype)
            dets, kept = ops.soft_nms(boxes, scores, 0.3, sigma=0.4, min_score=0.1, method=method, offset=offset)
            index, lowered = soft_nms(boxes.tolist(), scores.tolist(), 0.3, 0.4, 0.1, method, offset)
            assert kept.tolist() == index and 5 < len(index) < 60
            torch.testing.assert_close(dets[:, 4], torch.tensor(lowered, dtype=dtype))
            torch.testing.assert_close(dets[:, :4], boxes[index])


def test_soft_nms_keeps_boxes_without_area_and_the_first_of_any_score():
    flat = torch.tensor([[3.0, 1, 3, 1]] * 3)
    assert len(ops.soft_nms(flat, torch.tensor([0.9, 0.5, 0.4]), 0.6, method='gaussian')[1]) == 3
    assert len(ops.soft_nms(flat, torch.tensor([1e-5, 1e-6, 1e-6]), 0.6)[1]) == 1
    assert ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))[0].shape == (0, 5)


def test_nms_match_groups_what_each_kept_box_suppresses():
    boxes, scores = random_boxes(40)
    groups = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)
    kept = greedy_nms(boxes.tolist(), scores.tolist(), 0.3, 0)
    assert [int(group[0]) for group in groups] == kept
    assert sorted(torch.cat(groups).tolist()) == list(range(40))
    for place, group in enumerate(groups):
        for i in group[1:].tolist():
            overlaps = [iou(boxes[k].tolist(), boxes[i].tolist()) for k in kept[: place + 1]]
            assert overlaps[-1] >= 0.3 and all(overlap < 0.3 for overlap in overlaps[:-1])


def test_bbox_overlaps():
    for mode in ['iou', 'iof']:
        for offset in [0, 1]:
            a, b = random_boxes(6, torch.float64)[0], random_boxes(9, torch.float64, seed=1)[0]
            expected = torch.tensor(
                [[iou(x, y, offset, mode == 'iof') for y in b.tolist()] for x in a.tolist()], dtype=torch.float64
            )
            torch.testing.assert_close(ops.bbox_overlaps(a, b, mode, offset=offset), expected)
            pairs = ops.bbox_overlaps(a, b[:6], mode, aligned=True, offset=offset)
            torch.testing.assert_close(pairs, expected[:, :6].diagonal())
