"""COCO's comparison of detections with objects: by pycocotools, or by hotcoco, which gives the same figures sooner."""
from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
from mmengine.logging import print_log
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Backend = Literal['auto', 'pycocotools', 'hotcoco']
Kind = Literal['segm', 'bbox']


class Curves(NamedTuple):
    """What COCO's figures are means of; -1 where a class has no objects.

    Attributes:
        precision: (10 thresholds of IoU, 101 recalls, classes, 4 sizes of objects, 3 numbers of detections).
        recall: (thresholds, classes, sizes, numbers of detections), the highest that is reached.
    """
    precision: np.ndarray
    recall: np.ndarray


def compare(truth: Mapping[str, Any], found: list[dict[str, Any]], kind: Kind, max_detections: Sequence[int],
            backend: Backend = 'auto') -> Curves:
    """Match detections with objects at each threshold.

    Args:
        truth: ``images``, ``annotations`` and ``categories`` in COCO's form, with ids from 1 on.
        found: Detections in COCO's form, ``dict(image_id, category_id, score)`` with ``bbox`` or ``segmentation``.
        kind: What overlaps, boxes or masks.
        max_detections: How many of each image and class are considered, the best first; three numbers.
        backend: ``'auto'`` takes hotcoco where it is installed. Where it is not, or fails, pycocotools does the work,
            and a line says so if hotcoco was asked for by name or failed.
    """
    if backend != 'pycocotools':
        if find_spec('hotcoco') is not None:
            try:
                return _by_hotcoco(truth, found, kind, max_detections)
            except Exception as error:  # a run of days does not end for the sake of a faster validation
                print_log(f"hotcoco failed ({type(error).__name__}: {error}), so that pycocotools computes AP: set the "
                          "evaluator's backend='pycocotools'", 'current', logging.WARNING)
        elif backend == 'hotcoco':
            print_log("hotcoco is not installed, so that pycocotools computes AP: pip install 'densevit[fast]'",
                      'current', logging.WARNING)
    return _by_pycocotools(truth, found, kind, max_detections)


def _by_pycocotools(truth: Mapping[str, Any], found: list[dict[str, Any]], kind: Kind,
                    max_detections: Sequence[int]) -> Curves:
    with redirect_stdout(io.StringIO()):  # it tells how long it took
        objects = _indexed(truth)
        detections = objects.loadRes(found) if found else _indexed({**truth, 'annotations': []})
        evaluation = COCOeval(objects, detections, kind)
        evaluation.params.maxDets = list(max_detections)
        evaluation.evaluate()
        evaluation.accumulate()
    return Curves(evaluation.eval['precision'], evaluation.eval['recall'])


def _indexed(content: Mapping[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dict(content, info={})
    coco.createIndex()
    return coco


def _by_hotcoco(truth: Mapping[str, Any], found: list[dict[str, Any]], kind: Kind,
                max_detections: Sequence[int]) -> Curves:
    from hotcoco import COCO, COCOeval  # the optional extra `fast`

    objects = COCO(dict(truth))
    evaluation = COCOeval(objects, objects.load_res(found), kind)
    evaluation.params.maxDets = list(max_detections)
    evaluation.evaluate()
    evaluation.accumulate()
    return Curves(np.asarray(evaluation.eval['precision']), np.asarray(evaluation.eval['recall']))
