"""AP of boxes and of masks (cocodataset.org, "Detection evaluation"), and which classes are taken for which.

In place of mmdetection's ``CocoMetric``, which reads the annotation file again and so does not know what a dataset
chose of its classes or mended, and keeps AP to 100 detections of an image.
"""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from pycocotools import mask as rle_tools

from ..datasets.common.coco_json import reading
from ..datasets.common.coco_masks import compressed
from ..files import write_atomic
from ..registry import METRICS
from . import confusion
from .coco_comparison import Backend, Curves, Kind, compare

_FIELDS = dict(segm='masks', bbox='bboxes')  # of pred_instances
_KEYS = dict(segm='segmentation', bbox='bbox')  # of COCO's annotations
_SIZES = dict(s=1, m=2, l=3)  # small, medium and large objects behind all in COCO's curves


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

    The predictions are compared with the annotations of the file itself, areas and crowds included: those that the data
    sample has, whose pipeline ends with ``dict(type='densevit.PackWithTruth')`` over a
    :class:`densevit.datasets.CocoInstanceDataset`.

    Args:
        metric: What is compared, masks (``'segm'``) or boxes (``'bbox'``), or both: then the names of the second one's
            figures begin with it (``bbox_AP``).
        max_detections: How many detections of a class in an image all figures but ``AR_1`` and ``AR_10`` consider, at
            least 1; 100 in COCO. Pictures with more objects of a class need more, from the model too
            (``model.test_cfg``).
        classwise: Whether to give the AP of each class too, as ``AP_<class>``.
        backend: What compares: ``'pycocotools'``, the reference, ``'hotcoco'``, which gives the same figures sooner
            (``pip install 'densevit[fast]'``), or ``'auto'``, hotcoco where it is installed.
        confusion_matrix: The least score of detections that are counted in a confusion matrix, in [0, 1]; None makes
            none. At an IoU of 0.5, whatever the class, each detection takes the object that it overlaps most
            (:func:`densevit.evaluation.confusion.confusion_matrix`). It is written as ``confusion_matrix_bbox.png`` and
            ``.csv`` (``segm`` for masks), in a training anew with each validation.
        confusion_folder: Where to; None is the folder of the run's log.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        KeyError: A data sample lacks the prediction or the ground truth.
        ValueError: An argument is not one of the above.
    """

    def __init__(self, metric: Kind | Sequence[Kind] = 'segm', max_detections: int = 100, classwise: bool = False,
                 backend: Backend = 'auto', confusion_matrix: float | None = None,
                 confusion_folder: str | Path | None = None, collect_device: str = 'cpu', prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.kinds = (metric, ) if isinstance(metric, str) else tuple(metric)
        if not self.kinds or not set(self.kinds) <= set(_FIELDS):
            raise ValueError(f"InstanceMetric has metric={metric!r}: it is 'segm' for masks, 'bbox' for boxes, or both")
        if backend not in get_args(Backend):
            raise ValueError(f'InstanceMetric has backend={backend!r}: it is one of {", ".join(get_args(Backend))}')
        if max_detections < 1:
            raise ValueError(f'InstanceMetric has max_detections={max_detections}: it is at least 1')
        if confusion_matrix is not None and not (not isinstance(confusion_matrix, bool) and 0 <= confusion_matrix <= 1):
            raise ValueError(f'InstanceMetric has confusion_matrix={confusion_matrix!r}: it is the least score of '
                             'detections that count, 0.3 for example')
        self.max_detections, self.classwise, self.backend = max_detections, classwise, backend
        self.confusion_matrix, self.confusion_folder = confusion_matrix, confusion_folder

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
        classes = self.dataset_meta['classes']
        truth = _truth(results, classes, self.dataset_meta['category_ids'], kind)
        found = [{'image_id': number, 'category_id': each['label'] + 1, 'score': each['score'],
                  _KEYS[kind]: each[_KEYS[kind]]}
                 for number, (_, _, predictions) in enumerate(results, 1) for each in predictions]
        if self.confusion_matrix is not None:
            self._write_confusion(confusion.confusion_matrix(truth, found, _KEYS[kind], self.confusion_matrix), kind)
        curves = compare(truth, found, kind, (1, min(10, self.max_detections), self.max_detections), self.backend)
        figures = _figures(curves)
        if self.classwise:
            figures.update({f'AP_{name}': _mean(curves.precision[:, :, index, 0, -1])
                            for index, name in enumerate(classes)})
        return {name: 100 * value for name, value in figures.items() if value >= 0}

    def _write_confusion(self, counts: np.ndarray, kind: Kind) -> None:
        folder, log_file = self.confusion_folder, MMLogger.get_current_instance().log_file
        if folder is None and log_file is None:
            print_log('the confusion matrix is not written, since there is no run with a folder of its own: set the '
                      "evaluator's confusion_folder", 'current', logging.WARNING)
            return
        path = Path(folder or Path(log_file).parent, f'confusion_matrix_{kind}')
        classes, title = self.dataset_meta['classes'], f'score >= {self.confusion_matrix:g}, IoU >= 0.5'
        write_atomic(confusion.to_csv(counts, classes), path.with_suffix('.csv'))
        write_atomic(confusion.draw(counts, classes, title), path.with_suffix('.png'))
        print_log(f'confusion matrix: {path}.png and .csv', 'current')


def _figures(curves: Curves) -> dict[str, float]:
    """COCO's twelve, in [0, 1]; -1 where there is no object."""
    precision, recall = curves
    figures = dict(AP=precision[..., 0, -1], AP50=precision[0, ..., 0, -1], AP75=precision[5, ..., 0, -1])
    figures |= {f'AP_{size}': precision[..., index, -1] for size, index in _SIZES.items()}
    figures |= {name: recall[..., 0, index] for index, name in enumerate(('AR_1', 'AR_10', 'AR'))}
    figures |= {f'AR_{size}': recall[..., index, -1] for size, index in _SIZES.items()}
    return {name: _mean(values) for name, values in figures.items()}


def _mean(values: np.ndarray) -> float:
    """The mean over what there are objects for; -1 where there is none."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.


def _truth(results: Sequence[_Image], classes: Sequence[str], category_ids: Sequence[int],
           kind: Kind) -> dict[str, list]:
    """The objects in COCO's form, with images and classes numbered from 1 in their order; others are left out."""
    numbers = {id_: number for number, id_ in enumerate(category_ids, 1)}
    annotations = []
    for number, (image, own, _) in enumerate(results, 1):
        for annotation in own:
            if annotation['category_id'] not in numbers:
                continue
            with reading(f'annotation {annotation.get("id")} of image {image["id"]}'):
                shape = annotation[_KEYS[kind]] if kind == 'bbox' else compressed(annotation['segmentation'], image)
            area = annotation.get('area')
            if area is None:
                area = shape[2] * shape[3] if kind == 'bbox' else float(rle_tools.area(shape))
            annotations.append({
                'id': len(annotations) + 1,  # pycocotools takes a match with 0 for none
                'image_id': number, 'category_id': numbers[annotation['category_id']], _KEYS[kind]: shape, 'area': area,
                'iscrowd': int(annotation.get('iscrowd', 0))})
    return dict(
        images=[dict(image, id=number) for number, (image, _, _) in enumerate(results, 1)], annotations=annotations,
        categories=[dict(id=number, name=name) for number, name in enumerate(classes, 1)])


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
