"""Instances in COCO's form."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...registry import DATASETS
from ..common.coco_json import AnnotationError, CocoJsonDataset, reading
from ..common.coco_masks import clean_mask, inside, is_box, mask_box, near
from .coco_classes import COCO_THINGS

# Remarks of a dataset.
EMPTY = 'annotations dropped whose mask has no pixel, or polygons of fewer than three points alone'
SHORT = 'annotations of which polygons of fewer than three points were left out'
TINY = 'annotations thinner than a pixel left out of training'
BOXES = 'boxes taken from their masks, which they did not enclose'


@DATASETS.register_module()
class CocoInstanceDataset(CocoJsonDataset):
    """Instance masks of a COCO JSON file: polygons, RLE or compressed RLE.

    Entries have ``instances`` as mmdetection's loading transforms want them, and ``annotations``, those of the file,
    for :class:`densevit.evaluation.InstanceMetric`. Crowds get ``ignore_flag``, with which nothing is learned from
    them. Images without annotations are kept unless ``filter_cfg=dict(filter_empty_gt=True)``.

    Training and the metric see the same masks: an annotation without one pixel is dropped from both and counted in
    ``remarks``, and a box that is absent, has no area or lies elsewhere follows from the mask. Annotations thinner than
    a pixel are left out of training alone, as by mmdetection, since COCO's metric counts them.

    The arguments are those of :class:`CocoJsonDataset`; without the file the classes are COCO's 80.

    Raises:
        AnnotationError: Also if an annotation has no mask, or one that is not of its image (:func:`clean_mask`).
    """
    METAINFO = dict(classes=COCO_THINGS)

    def _entry(self, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        entry = self._image_entry(image)
        kept, instances = [], []
        for annotation in annotations:
            where = f'annotation {annotation.get("id")} of image {image["id"]} ({image["file_name"]})'
            with reading(f'{where} in {self.ann_file}'):
                label = self.label_of(annotation, where)
                cleaned = None if label is None else self._clean(annotation, entry, where)
            if cleaned is not None:
                kept.append(cleaned)
                instances.append(self._instance(cleaned, label))
        visible = [instance for instance in instances if _side(instance['bbox']) >= 1]
        if thin := len(instances) - len(visible):
            self.remarks[TINY] += thin
        return dict(entry, instances=visible, annotations=kept)

    def _clean(self, annotation: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, Any] | None:
        """The annotation with a mask that pycocotools can read and the box of that mask; None without a pixel."""
        if not (given := annotation.get('segmentation')):
            raise AnnotationError(f'{where} in {self.ann_file} has no segmentation: add one, or remove the annotation')
        mask = clean_mask(given, entry['height'], entry['width'])
        if mask is None:
            self.remarks[EMPTY] += 1
            return None
        if isinstance(mask, list) and len(mask) < len(given):
            self.remarks[SHORT] += 1
        if annotation.get('iscrowd', 0) not in (0, 1):
            raise AnnotationError(f'{where} in {self.ann_file} has iscrowd={annotation["iscrowd"]!r}: write 0 or 1')
        cleaned = dict(annotation, segmentation=mask, bbox=self._box(annotation.get('bbox'), mask, entry))
        area = annotation.get('area')
        if area is not None and not (isinstance(area, int | float) and math.isfinite(area) and area > 0):
            del cleaned['area']  # the metric takes the mask's
        return cleaned

    def _box(self, box: Any, mask: Any, entry: Mapping[str, Any]) -> list[float]:
        own = mask_box(mask, entry)
        if is_box(box) and near(inside(box, entry), own):
            return list(box)
        if box is not None:
            self.remarks[BOXES] += 1
        return own

    def _instance(self, annotation: Mapping[str, Any], label: int) -> dict[str, Any]:
        x, y, width, height = annotation['bbox']
        return dict(bbox=[x, y, x + width, y + height], bbox_label=label, mask=annotation['segmentation'],
                    ignore_flag=int(annotation.get('iscrowd', 0)))

    def _teaches(self, entry: Mapping[str, Any]) -> bool:
        return any(not instance['ignore_flag'] for instance in entry['instances'])

    def _labels(self, entry: Mapping[str, Any]) -> list[int]:
        return [instance['bbox_label'] for instance in entry['instances']]


def _side(box: Sequence[float]) -> float:
    """The shorter side."""
    return min(box[2] - box[0], box[3] - box[1])
