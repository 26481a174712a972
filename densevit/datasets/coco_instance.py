"""Instances in COCO's form."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycocotools import mask as rle_tools

from ..registry import DATASETS
from .coco_classes import COCO_THINGS
from .coco_json import AnnotationError, CocoJsonDataset


@DATASETS.register_module()
class CocoInstanceDataset(CocoJsonDataset):
    """Instance masks of a COCO JSON file: polygons, RLE or compressed RLE.

    Entries have ``instances`` as mmdetection's loading transforms want them, and ``annotations``, those of the file,
    for :class:`densevit.evaluation.InstanceMetric`. Crowds get ``ignore_flag``, with which nothing is learned from
    them. Images without annotations are kept unless ``filter_cfg=dict(filter_empty_gt=True)``.

    The arguments are those of :class:`CocoJsonDataset`; without the file the classes are COCO's 80.
    """
    METAINFO = dict(classes=COCO_THINGS)

    def _entry(self, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        entry = self._image_entry(image)
        kept, instances = [], []
        for annotation in annotations:
            label = self.label_of(annotation, f'annotation {annotation.get("id")}')
            if label is not None:
                kept.append(annotation)
                instances.append(self._instance(annotation, label, image))
        # mmdetection leaves out boxes that no pixel fits in, too.
        instances = [instance for instance in instances if _side(instance['bbox']) >= 1]
        return dict(entry, instances=instances, annotations=kept)

    def _instance(self, annotation: Mapping[str, Any], label: int, image: Mapping[str, Any]) -> dict[str, Any]:
        mask = annotation.get('segmentation')
        where = f'annotation {annotation.get("id")} of image {image["id"]} in {self.ann_file}'
        if not mask:
            raise AnnotationError(f'{where} has no segmentation: add one, or remove it')
        if isinstance(mask, dict):
            if list(mask.get('size', ())) != [image['height'], image['width']]:
                raise AnnotationError(f'{where} has a mask of size {mask.get("size")}, but the image has height '
                                      f'{image["height"]} and width {image["width"]}: correct one of them')
            if isinstance(mask.get('counts'), bytes):
                mask = dict(mask, counts=mask['counts'].decode())
        x, y, width, height = annotation.get('bbox') or rle_tools.toBbox(compressed(mask, image)).tolist()
        return dict(bbox=[x, y, x + width, y + height], bbox_label=label, mask=mask,
                    ignore_flag=int(annotation.get('iscrowd', 0)))

    def _teaches(self, entry: Mapping[str, Any]) -> bool:
        return any(not instance['ignore_flag'] for instance in entry['instances'])


def compressed(mask: Any, image: Mapping[str, Any]) -> dict[str, Any]:
    """Polygons or RLE as pycocotools' compressed RLE.

    Args:
        image: With ``height`` and ``width``.
    """
    if isinstance(mask, dict) and not isinstance(mask['counts'], list):
        return mask
    encoded = rle_tools.frPyObjects(mask, image['height'], image['width'])
    return rle_tools.merge(encoded) if isinstance(encoded, list) else encoded


def _side(box: Sequence[float]) -> float:
    """The shorter side."""
    return min(box[2] - box[0], box[3] - box[1])
