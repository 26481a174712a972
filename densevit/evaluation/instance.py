"""AP of instance masks (cocodataset.org, "Detection evaluation"), by pycocotools."""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..datasets.common.coco_json import reading
from ..datasets.common.coco_masks import compressed
from ..registry import METRICS

_STATISTICS = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l', 'AR_1', 'AR_10', 'AR', 'AR_s', 'AR_m', 'AR_l')


@METRICS.register_module()
class InstanceMetric(BaseMetric):
    """COCO's twelve figures of masks in percent: ``AP``, ``AP50``, ..., ``AR``.

    pycocotools compares the predictions with the annotations of the file itself, areas and crowds included: those that
    the data sample has, whose pipeline ends with ``dict(type='mmdet.PackDetInputs', meta_keys=(..., 'img_id',
    'ori_shape', 'annotations'))`` over a :class:`densevit.datasets.CocoInstanceDataset`.

    Args:
        max_detections: Of an image, at least 1; the figures other than ``AR_1`` and ``AR_10`` consider so many. COCO's
            are 100.
        classwise: Also the AP of each class, as ``AP_<class>``.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        KeyError: A data sample lacks the prediction or the ground truth.
    """

    def __init__(self, max_detections: int = 100, classwise: bool = False, collect_device: str = 'cpu',
                 prefix: str | None = None, collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.max_detections, self.classwise = max_detections, classwise

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep annotations and predictions of each image, masks as compressed RLE."""
        for sample in data_samples:
            if 'annotations' not in sample:
                raise KeyError("InstanceMetric finds no ground truth: add 'annotations' to the meta_keys of "
                               'mmdet.PackDetInputs in the test pipeline, and use densevit.CocoInstanceDataset')
            if 'pred_instances' not in sample or 'masks' not in sample['pred_instances']:
                raise KeyError('InstanceMetric finds no pred_instances with masks in what the model predicts: set '
                               "model.task='instance'")
            height, width = sample['ori_shape'][:2]
            image = dict(id=sample['img_id'], height=int(height), width=int(width))
            self.results.append((image, list(sample['annotations']), _predictions(sample['pred_instances'])))

    def compute_metrics(self, results: Sequence[tuple[dict, list, list]]) -> dict[str, float]:
        """Percentages from all images; a figure without ground truth (no small object, say) is left out."""
        if 'category_ids' not in (self.dataset_meta or {}):
            raise KeyError("InstanceMetric needs 'category_ids' in the dataset's metainfo: use "
                           'densevit.CocoInstanceDataset')
        classes, category_ids = self.dataset_meta['classes'], self.dataset_meta['category_ids']
        with redirect_stdout(io.StringIO()):  # pycocotools tells how long it took
            truth = _truth(results, category_ids)
            evaluation = COCOeval(truth, _detections(truth, results, category_ids), 'segm')
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


def _truth(results: Sequence[tuple[dict, list, list]], category_ids: Sequence[int]) -> COCO:
    annotations = []
    for image, own, _ in results:
        for annotation in own:
            with reading(f'annotation {annotation.get("id")} of image {image["id"]}'):
                mask = compressed(annotation['segmentation'], image)
            area = annotation.get('area', None)
            annotations.append(dict(
                id=len(annotations) + 1,  # pycocotools takes a match with 0 for none
                image_id=image['id'], category_id=annotation['category_id'], segmentation=mask,
                area=float(rle_tools.area(mask)) if area is None else area, iscrowd=int(annotation.get('iscrowd', 0))))
    return _coco([image for image, _, _ in results], annotations, category_ids)


def _detections(truth: COCO, results: Sequence[tuple[dict, list, list]], category_ids: Sequence[int]) -> COCO:
    found = [dict(image_id=image['id'], category_id=category_ids[label], score=score, segmentation=mask)
             for image, _, predictions in results for label, score, mask in predictions]
    return truth.loadRes(found) if found else _coco(truth.dataset['images'], [], category_ids)


def _coco(images: list[dict], annotations: list[dict], category_ids: Sequence[int]) -> COCO:
    coco = COCO()
    coco.dataset = dict(
        info={}, images=images, annotations=annotations, categories=[dict(id=id_) for id_ in category_ids])
    coco.createIndex()
    return coco


def _mean(precision: np.ndarray) -> float:
    """Over all thresholds and recalls; -1 where there is no ground truth."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else -1.


def _predictions(instances: Mapping[str, Any]) -> list[tuple[int, float, dict[str, Any]]]:
    """Label, score and RLE of each instance."""
    masks = instances['masks']
    if not (isinstance(masks, list | tuple) and masks and isinstance(masks[0], dict)):
        masks = np.asarray(torch.as_tensor(masks).cpu(), np.uint8) if len(masks) else []
        masks = [rle_tools.encode(np.asfortranarray(mask)) for mask in masks]
    labels, scores = torch.as_tensor(instances['labels']).tolist(), torch.as_tensor(instances['scores']).tolist()
    return list(zip(labels, scores, masks, strict=True))
