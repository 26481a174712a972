"""AP of boxes and of masks (cocodataset.org, "Detection evaluation"), by pycocotools.

In place of mmdetection's ``CocoMetric``, which reads the annotation file again and so does not know what a dataset
chose of its classes or mended, and keeps AP to 100 detections of an image.
"""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..datasets.common.coco_json import reading
from ..datasets.common.coco_masks import compressed
from ..registry import METRICS

Kind = Literal['segm', 'bbox']
_STATISTICS = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l', 'AR_1', 'AR_10', 'AR', 'AR_s', 'AR_m', 'AR_l')
_FIELDS = dict(segm='masks', bbox='bboxes')  # of pred_instances
_KEYS = dict(segm='segmentation', bbox='bbox')  # of COCO's annotations


class _Image(NamedTuple):
    """What one image adds to the figures.

    Attributes:
        image: ``dict(id, height, width)``.
        annotations: The objects that the file has.
        predictions: In COCO's form, ``dict(label, score)`` with ``segmentation`` or ``bbox`` or both.
    """
    image: dict[str, Any]
    annotations: list[Mapping[str, Any]]
    predictions: list[dict[str, Any]]


@METRICS.register_module()
class InstanceMetric(BaseMetric):
    """COCO's twelve figures in percent: ``AP``, ``AP50``, ..., ``AR``.

    pycocotools compares the predictions with the annotations of the file itself, areas and crowds included: those that
    the data sample has, whose pipeline ends with ``dict(type='densevit.PackWithTruth')`` over a
    :class:`densevit.datasets.CocoInstanceDataset`.

    Args:
        metric: What is compared, masks (``'segm'``) or boxes (``'bbox'``), or both: then the names of the second one's
            figures begin with it (``bbox_AP``).
        max_detections: How many detections of an image all figures but ``AR_1`` and ``AR_10`` consider, at least 1;
            100 in COCO.
        classwise: Whether to give the AP of each class too, as ``AP_<class>``.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        KeyError: A data sample lacks the prediction or the ground truth.
    """

    def __init__(self, metric: Kind | Sequence[Kind] = 'segm', max_detections: int = 100, classwise: bool = False,
                 collect_device: str = 'cpu', prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.kinds = (metric, ) if isinstance(metric, str) else tuple(metric)
        if not self.kinds or not set(self.kinds) <= set(_FIELDS):
            raise ValueError(f"InstanceMetric has metric={metric!r}: it is 'segm' for masks, 'bbox' for boxes, or both")
        self.max_detections, self.classwise = max_detections, classwise

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep annotations and predictions of each image, masks as compressed RLE."""
        for sample in data_samples:
            if 'annotations' not in sample:
                raise KeyError("InstanceMetric finds no ground truth: let the test pipeline end with dict(type='"
                               "densevit.PackWithTruth'), and use densevit.CocoInstanceDataset")
            found = sample.get('pred_instances', ())
            if absent := [kind for kind in self.kinds if _FIELDS[kind] not in found]:
                raise KeyError(f'InstanceMetric finds no pred_instances with {_FIELDS[absent[0]]} in what the model '
                               'predicts: set the metric of test_evaluator to what it does predict (segm or bbox), or '
                               "model.task='instance'")
            height, width = sample['ori_shape'][:2]
            image = dict(id=sample['img_id'], height=int(height), width=int(width))
            self.results.append(_Image(image, list(sample['annotations']), _predictions(found, self.kinds)))

    def compute_metrics(self, results: Sequence[_Image]) -> dict[str, float]:
        """Percentages from all images; a figure without ground truth (no small object, say) is left out."""
        if 'category_ids' not in (self.dataset_meta or {}):
            raise KeyError("InstanceMetric needs 'category_ids' in the dataset's metainfo: use "
                           'densevit.CocoInstanceDataset')
        figures: dict[str, float] = {}
        for index, kind in enumerate(self.kinds):
            prefix = f'{kind}_' if index else ''
            figures |= {f'{prefix}{name}': value for name, value in self._figures(results, kind).items()}
        return figures

    def _figures(self, results: Sequence[_Image], kind: Kind) -> dict[str, float]:
        classes, category_ids = self.dataset_meta['classes'], self.dataset_meta['category_ids']
        with redirect_stdout(io.StringIO()):  # pycocotools tells how long it took
            truth = _truth(results, category_ids, kind)
            evaluation = COCOeval(truth, _detections(truth, results, category_ids, kind), kind)
            evaluation.params.catIds = list(category_ids)  # evaluate() sorts them
            evaluation.params.maxDets = [1, min(10, self.max_detections), self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        figures = dict(zip(_STATISTICS, evaluation.stats.tolist(), strict=True))
        precision = evaluation.eval['precision'][:, :, :, 0, -1]  # (thresholds, recalls, classes)
        figures['AP'] = _mean(precision)  # summarize() knows it for 100 detections alone
        if self.classwise:
            order = list(evaluation.params.catIds)
            figures.update({f'AP_{name}': _mean(precision[:, :, order.index(id_)])
                            for name, id_ in zip(classes, category_ids, strict=True)})
        return {name: 100 * value for name, value in figures.items() if value >= 0}


def _truth(results: Sequence[_Image], category_ids: Sequence[int], kind: Kind) -> COCO:
    annotations = []
    for image, own, _ in results:
        for annotation in own:
            with reading(f'annotation {annotation.get("id")} of image {image["id"]}'):
                shape = annotation[_KEYS[kind]] if kind == 'bbox' else compressed(annotation['segmentation'], image)
            area = annotation.get('area')
            if area is None:
                area = shape[2] * shape[3] if kind == 'bbox' else float(rle_tools.area(shape))
            annotations.append({
                'id': len(annotations) + 1,  # pycocotools takes a match with 0 for none
                'image_id': image['id'], 'category_id': annotation['category_id'], _KEYS[kind]: shape, 'area': area,
                'iscrowd': int(annotation.get('iscrowd', 0))})
    return _coco([image for image, _, _ in results], annotations, category_ids)


def _detections(truth: COCO, results: Sequence[_Image], category_ids: Sequence[int], kind: Kind) -> COCO:
    found = [{'image_id': image['id'], 'category_id': category_ids[each['label']], 'score': each['score'],
              _KEYS[kind]: each[_KEYS[kind]]} for image, _, predictions in results for each in predictions]
    return truth.loadRes(found) if found else _coco(truth.dataset['images'], [], category_ids)


def _coco(images: list[dict], annotations: list[dict], category_ids: Sequence[int]) -> COCO:
    coco = COCO()
    coco.dataset = dict(
        info={}, images=images, annotations=annotations, categories=[dict(id=id_) for id_ in category_ids])
    coco.createIndex()
    return coco


def _mean(precision: np.ndarray) -> float:
    """The mean over all thresholds and recalls; -1 where there is no ground truth."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else -1.


def _predictions(instances: Mapping[str, Any], kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    """Label, score and shapes of each instance in COCO's form: masks as RLE, boxes as [x, y, width, height]."""
    columns = dict(label=torch.as_tensor(instances['labels']).tolist(),
                   score=torch.as_tensor(instances['scores']).tolist())
    if 'segm' in kinds:
        masks = instances['masks']
        if not (isinstance(masks, list | tuple) and masks and isinstance(masks[0], dict)):
            masks = np.asarray(torch.as_tensor(masks).cpu(), np.uint8) if len(masks) else []
            masks = [rle_tools.encode(np.asfortranarray(mask)) for mask in masks]
        columns['segmentation'] = masks
    if 'bbox' in kinds:
        corners = torch.as_tensor(instances['bboxes']).reshape(-1, 4)  # x1, y1, x2, y2
        columns['bbox'] = torch.cat((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1).tolist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
