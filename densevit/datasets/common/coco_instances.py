"""Objects in COCO's form: boxes, with masks or alone.

In place of mmdetection's ``CocoDataset``, which numbers the classes as the file lists them whatever order the config
names, leaves annotations out without a word, and hands the masks of a file to C code that trusts their lengths.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...registry import DATASETS
from .coco_classes import COCO_THINGS
from .coco_json import AnnotationError, CocoJsonDataset, reading
from .coco_masks import clean_mask, inside, is_box, mask_box, near

# What ``remarks`` of a dataset count.
EMPTY = 'annotations dropped whose mask has no pixel, or polygons of fewer than three points alone'
OUTSIDE = 'annotations dropped whose box has no area, or lies outside of the image'
SHORT = 'annotations of which polygons of fewer than three points were left out'
TINY = 'annotations thinner than a pixel left out of training'
BOXES = 'boxes taken from their masks, which they did not enclose'


@DATASETS.register_module()
class CocoInstanceDataset(CocoJsonDataset):
    """Objects of a COCO JSON file, for detection and for instance segmentation.

    Entries have ``instances`` as mmdetection's ``LoadAnnotations`` wants them, so that its own models learn from them
    too, and ``annotations``, those of the file, for :class:`densevit.evaluation.InstanceMetric`. Crowds get
    ``ignore_flag``, with which nothing is learned from them. Images without annotations are kept unless
    ``filter_cfg=dict(filter_empty_gt=True)``.

    Training and the metric see the same objects: an annotation without one pixel is dropped from both and counted in
    ``remarks``, and a box that is absent, has no area or lies elsewhere follows from the mask. Annotations thinner than
    a pixel are left out of training alone, as by mmdetection, since COCO's metric counts them.

    Args:
        with_masks: Read masks (polygons, RLE or compressed RLE), which every annotation must have. Without them boxes
            are read alone; an annotation that has a mask and no box gets the box of its mask.
        kwargs: The other arguments of :class:`CocoJsonDataset`. Without a file the classes are COCO's 80.

    Raises:
        AnnotationError: The file is not of COCO's form; an annotation lacks its mask, or its box, or has one that is
            not of its image (:func:`clean_mask`).
    """
    METAINFO = dict(classes=COCO_THINGS)

    def __init__(self, ann_file: str = '', metainfo: Mapping[str, Any] | None = None, *, with_masks: bool = True,
                 **kwargs: Any) -> None:
        self.with_masks = with_masks
        super().__init__(ann_file, metainfo, **kwargs)

    def _entry(self, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        entry = self._image_entry(image)
        kept, instances = [], []
        clean = self._clean_mask if self.with_masks else self._clean_box
        for annotation in annotations:
            where = f'annotation {annotation.get("id")} of image {image["id"]} ({image["file_name"]})'
            with reading(f'{where} in {self.ann_file}'):
                label = self.label_of(annotation, where)
                cleaned = None if label is None else clean(annotation, entry, where)
            if cleaned is not None:
                kept.append(self._with_checked_numbers(cleaned, where))
                instances.append(_instance(cleaned, label))
        visible = [instance for instance in instances if _side(instance['bbox']) >= 1]
        if thin := len(instances) - len(visible):
            self.remarks[TINY] += thin
        return dict(entry, instances=visible, annotations=kept)

    def _clean_mask(self, annotation: Mapping[str, Any], entry: Mapping[str, Any], where: str
                    ) -> dict[str, Any] | None:
        """The annotation with a mask that pycocotools can read and the box of that mask; None without a pixel."""
        if not (given := annotation.get('segmentation')):
            raise AnnotationError(f'{where} in {self.ann_file} has no segmentation: add one, remove the annotation, or '
                                  "set the dataset's with_masks=False to learn boxes alone")
        mask = clean_mask(given, entry['height'], entry['width'])
        if mask is None:
            self.remarks[EMPTY] += 1
            return None
        if isinstance(mask, list) and len(mask) < len(given):
            self.remarks[SHORT] += 1
        own = mask_box(mask, entry)
        box = annotation.get('bbox')
        if not (is_box(box) and near(inside(box, entry), own)):
            if box is not None:
                self.remarks[BOXES] += 1
            box = own
        return dict(annotation, segmentation=mask, bbox=list(box))

    def _clean_box(self, annotation: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, Any] | None:
        """The annotation with its box and without a mask; None if nothing of the box is in the image."""
        box = annotation.get('bbox')
        if not is_box(box):
            if given := annotation.get('segmentation'):
                mask = clean_mask(given, entry['height'], entry['width'])
                box = [0, 0, 0, 0] if mask is None else mask_box(mask, entry)
            elif not is_box(box, empty=True):
                raise AnnotationError(f'{where} in {self.ann_file} has the box {box!r:.40}: write '
                                      '[x, y, width, height] in pixels, or remove the annotation')
        if min(inside(box, entry)[2:]) <= 0:
            self.remarks[OUTSIDE] += 1
            return None
        cleaned = dict(annotation, bbox=list(box))
        cleaned.pop('segmentation', None)
        return cleaned

    def _with_checked_numbers(self, annotation: dict[str, Any], where: str) -> dict[str, Any]:
        """An annotation without an area that is none, which the metric then takes from the mask or box."""
        if annotation.get('iscrowd', 0) not in (0, 1):
            raise AnnotationError(f'{where} in {self.ann_file} has iscrowd={annotation["iscrowd"]!r}: write 0 or 1')
        area = annotation.get('area')
        if area is not None and not (isinstance(area, int | float) and math.isfinite(area) and area > 0):
            del annotation['area']
        return annotation

    def _teaches(self, entry: Mapping[str, Any]) -> bool:
        return not all(instance['ignore_flag'] for instance in entry['instances'])

    def _labels(self, entry: Mapping[str, Any]) -> list[int]:
        return [instance['bbox_label'] for instance in entry['instances']]


def _instance(annotation: Mapping[str, Any], label: int) -> dict[str, Any]:
    """An object as mmdetection's ``LoadAnnotations`` reads it, its box as [x1, y1, x2, y2]."""
    x, y, width, height = annotation['bbox']
    mask = dict(mask=annotation['segmentation']) if 'segmentation' in annotation else {}
    return dict(bbox=[x, y, x + width, y + height], bbox_label=label, ignore_flag=int(annotation.get('iscrowd', 0)),
                **mask)


def _side(box: Sequence[float]) -> float:
    """The length of the shorter side of a box [x1, y1, x2, y2]."""
    return min(box[2] - box[0], box[3] - box[1])
