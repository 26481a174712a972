"""Panoptic segmentation in COCO's form (arXiv:1801.00868): a JSON file and a PNG of segment ids for each image."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.datasets import ADE20KDataset

from ...registry import DATASETS
from ..common.coco_classes import COCO_STUFF, COCO_THINGS
from ..common.coco_json import AnnotationError, CocoJsonDataset, first_repeated, reading

VOID = 0  # the segment id of pixels without annotation
MAX_ID = 256**3 - 1  # that a colour can write
MAX_CLASSES = 255  # label maps are bytes, and 255 is void in them
# Of ADE20K's 150 labels from 0; the other 100 are those of its instance segmentation challenge (2017).
ADE20K_STUFF = frozenset((
    0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68, 77, 79,
    84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145))


@DATASETS.register_module()
class PanopticDataset(CocoJsonDataset):
    """Segments of a COCO panoptic JSON file; things and stuff in any order, told apart by ``isthing``.

    Entries have ``seg_map_path`` and ``segments_info``, a list of ``dict(id, category, is_thing, iscrowd)`` where
    ``category`` is the label, None for a category that was not chosen, whose pixels are void. Those of a file without
    annotations have ``segments_info=None``.

    Args:
        data_prefix: ``dict(img=..., seg=...)``, the folders of the images and of the PNG files.

    The other arguments are those of :class:`CocoJsonDataset`; without the file the classes are COCO's 133.

    Raises:
        AnnotationError: Also if an image has no annotation or two, or a segment id is 0 or occurs twice in it.
    """
    METAINFO = dict(
        classes=COCO_THINGS + COCO_STUFF, isthing=(True, ) * len(COCO_THINGS) + (False, ) * len(COCO_STUFF))

    def _entry(self, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        entry = self._image_entry(image)
        if not self.annotated:
            return dict(entry, segments_info=None)
        where = f'image {image["id"]} ({image["file_name"]}) in {self.ann_file}'
        if any('file_name' not in annotation or 'segments_info' not in annotation for annotation in annotations):
            raise AnnotationError(f'an annotation of {where} lacks file_name or segments_info: a panoptic file has '
                                  'both (an instance file belongs to densevit.CocoInstanceDataset)')
        if len(annotations) != 1:
            raise AnnotationError(f'{where} has {len(annotations) or "no"} annotations, and a panoptic file has one '
                                  'for each image: correct it, or remove the image')
        annotation = annotations[0]
        if not isinstance(annotation['file_name'], str):
            raise AnnotationError(f'the annotation of {where} has {annotation["file_name"]!r} for a file_name: write '
                                  'the name of its PNG')
        folder = self.data_prefix.get('seg') or ''
        path = f'{folder.rstrip("/")}/{annotation["file_name"]}' if folder else annotation['file_name']
        with reading(f'the annotation of {where}'):
            segments = [self._segment(segment, where) for segment in annotation['segments_info']]
            ids = [segment['id'] for segment in segments]
        wrong = [*first_repeated(ids), *(id_ for id_ in ids if not VOID < id_ <= MAX_ID)]
        if wrong:
            reason = ('is that of pixels without annotation' if wrong[0] == VOID else 'occurs twice'
                      if 0 < wrong[0] <= MAX_ID else f'is not from 1 to {MAX_ID}, as a colour of the PNG can write it')
            raise AnnotationError(f'segment id {wrong[0]} of {where} {reason}: give each segment its own')
        return dict(entry, seg_map_path=path, segments_info=segments)

    def _segment(self, segment: Mapping[str, Any], where: str) -> dict[str, Any]:
        if isinstance(segment['id'], bool) or not isinstance(segment['id'], int):
            raise AnnotationError(f'a segment of {where} has the id {segment["id"]!r}: write a whole number')
        name = f'segment {segment["id"]} of {where.partition(" in ")[0]}'
        with reading(f'{name} in {self.ann_file}'):
            label = self.label_of(segment, name)
            return dict(id=segment['id'], category=label, iscrowd=int(segment.get('iscrowd', 0)),
                        is_thing=label is not None and self._metainfo['isthing'][label])

    def _take_categories(self, categories: Sequence[Mapping[str, Any]]) -> dict[int, int | None]:
        labels = super()._take_categories(categories)
        if without := [category for category in categories if 'isthing' not in category]:
            raise AnnotationError(f"category '{without[0]['name']}' in {self.ann_file} has no isthing: set it to 1 "
                                  'for classes that are counted, to 0 for stuff')
        if len(self._metainfo['classes']) > MAX_CLASSES:
            raise AnnotationError(f'{self.ann_file} has {len(self._metainfo["classes"])} categories; at most '
                                  f'{MAX_CLASSES} can be told from void: choose some with metainfo=dict(classes=...)')
        return labels

    def _labels(self, entry: Mapping[str, Any]) -> list[int]:
        return [segment['category'] for segment in entry['segments_info'] or () if segment['category'] is not None]

    def _teaches(self, entry: Mapping[str, Any]) -> bool:
        return any(segment['category'] is not None and not segment['iscrowd'] for segment in entry['segments_info'])


@DATASETS.register_module()
class PanopticADE20KDataset(PanopticDataset):
    """ADE20K's 150 classes in ADE20K's order, 100 things and 50 stuff among each other."""
    METAINFO = dict(
        classes=ADE20KDataset.METAINFO['classes'],
        palette=ADE20KDataset.METAINFO['palette'],
        isthing=tuple(label not in ADE20K_STUFF for label in range(150)))
