"""Panoptic annotations in a pipeline, without panopticapi."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from ...registry import TRANSFORMS
from ..common.coco_json import AnnotationError
from .panoptic import VOID

IGNORED = 255


@TRANSFORMS.register_module()
class LoadPanopticSegments(BaseTransform):
    """Reads a PNG of segment ids, for mmdetection's transforms and ``mmdet.PackDetInputs``.

    Crowds are no instances and nothing is learned from them: they are void, as are pixels without annotation and
    those of categories that were not chosen. An image without ``segments_info`` stays as it is.

    Required keys: ``seg_map_path``, ``segments_info`` (of :class:`PanopticDataset`), ``img_shape``.

    Added keys: ``gt_masks`` (mmdetection's ``BitmapMasks``), ``gt_bboxes``, ``gt_bboxes_labels`` (n,) int64 and
    ``gt_ignore_flags`` of the things; ``gt_seg_map`` (H, W) uint8, labels of things and stuff, 255 for void.

    Raises:
        AnnotationError: The PNG and the annotation do not fit each other, or the image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if results.get('segments_info') is None:
            return results
        from mmdet.structures.mask import BitmapMasks  # seconds that other tasks need not wait for
        shape = tuple(results['img_shape'][:2])
        labels = np.full(shape, IGNORED, np.uint8)
        masks, things = [], []
        ids = _read_of_size(results, shape)
        for segment, inside in segment_masks(ids, results['segments_info'], results['seg_map_path']):
            if segment['category'] is None or segment['iscrowd'] or not inside.any():
                continue
            labels[inside] = segment['category']
            if segment['is_thing']:
                masks.append(inside.astype(np.uint8))
                things.append(segment['category'])
        results['gt_seg_map'], results['ignore_index'] = labels, IGNORED
        results['gt_masks'] = BitmapMasks(masks, *shape)
        results['gt_bboxes'] = results['gt_masks'].get_bboxes('hbox')
        results['gt_bboxes_labels'] = np.array(things, np.int64)
        results['gt_ignore_flags'] = np.zeros(len(things), bool)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def _read_of_size(info: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    ids = read_segment_ids(info['seg_map_path'])
    if ids.shape != shape:
        raise AnnotationError(f'{info["seg_map_path"]} has {ids.shape[1]}x{ids.shape[0]} pixels, but its image '
                              f'{info.get("img_path")} has {shape[1]}x{shape[0]}: use files of one size')
    return ids


def read_segment_ids(path: str) -> np.ndarray:
    """Segment ids (H, W) int32 of a PNG, whose channels are the id's digits to the base of 256, red the lowest.

    Raises:
        AnnotationError: The file is no RGB picture, or damaged.
        FileNotFoundError: There is no such file.
    """
    try:
        with Image.open(path) as image:
            colours = np.asarray(image)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # of Pillow, which names no file
        raise AnnotationError(f'{path} cannot be read: write the PNG anew') from error
    if colours.ndim != 3 or colours.dtype != np.uint8:
        raise AnnotationError(f'{path} is no RGB picture: panoptic PNG files write segment ids as colours')
    return colours[..., :3].astype(np.int32) @ np.array([1, 256, 256**2], np.int32)


def segment_masks(
    ids: np.ndarray,
    segments: Sequence[Mapping[str, Any]],
    path: str,
) -> Iterator[tuple[Mapping[str, Any], np.ndarray]]:
    """Each segment with its mask (H, W) bool.

    A mask may be empty: the ADE20K annotations of Mask2Former's authors list stuff that instances hide altogether.

    Raises:
        AnnotationError: After the last, pixels belong to no segment of the list.
    """
    covered = np.count_nonzero(ids == VOID)
    for segment in segments:
        inside = ids == segment['id']
        covered += np.count_nonzero(inside)
        yield segment, inside
    if covered < ids.size:
        unlisted = set(np.unique(ids).tolist()) - {VOID, *(segment['id'] for segment in segments)}
        raise AnnotationError(f'{path} has pixels of segment {min(unlisted)}, which its annotation does not list: add '
                              'it there, or write the PNG anew')
