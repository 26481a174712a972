"""One pass over the files of a data set before a run: of one size, as the annotations say, with labels of the model."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from mmseg.datasets.transforms import LoadAnnotations

from ...errors import one_line
from ..segmentation.label_maps import LabelError, LabelRule, check_two_values, labels_of
from .coco_json import AnnotationError, EmptyDatasetError
from .coco_masks import MaskError, clean_mask
from .file_facts import Facts, FactsMemory, UnreadableFileError, in_threads

_REMEMBERED = 1000  # images, after which what was read is written down
_VOID = 0  # the segment id of pixels without annotation
_TURNED = ('images are mirrored or turned by their EXIF orientation, and their size cannot tell whether the labels are '
           'made for that: look at some, or remove the orientation (exiftool -Orientation= FILES)')


class DataError(ValueError):
    """Files of a data set do not fit each other, their annotations or the model."""


@dataclass
class Survey:
    """What a split of the data holds.

    Attributes:
        images: Their number.
        looked_at: Of how many the files were read.
        unlabelled: Of those, how many have no annotation, or no pixel that belongs to a class.
        classes: By label, in how many images it occurs.
        remarks: What else is worth knowing, and how often it was met.
    """
    images: int = 0
    looked_at: int = 0
    unlabelled: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        return self.looked_at == self.images


class _Look(NamedTuple):
    """At one image: a fault, or its labels (None if there is nothing that could tell), raw values and orientation."""
    fault: str | None = None
    labels: Sequence[int] | None = None
    values: Sequence[float] = ()
    turned: bool = False


def leaves(dataset: Any) -> Iterator[Any]:
    """The datasets inside of OpenMMLab's wrappers; those without ``get_data_info`` cannot be looked at."""
    parts = getattr(dataset, 'datasets', None) or [part for part in [getattr(dataset, 'dataset', None)] if part]
    if parts:
        for part in parts:
            yield from leaves(part)
    elif hasattr(dataset, 'get_data_info'):
        yield dataset


def survey(
    dataset: Any,
    name: str,
    rule: LabelRule,
    memory: FactsMemory | None = None,
    max_files: int | None = None,
    advance: Callable[[], Any] = lambda: None,
) -> Survey:
    """Look at the images of a data set and at what annotates them, each file once.

    Sizes are those that the pipeline reads: images turned by their EXIF orientation, unless its loader ignores that;
    label maps as they are stored. Of images only headers are read.

    Args:
        dataset: Built by OpenMMLab's classes.
        name: ``'train'``, ``'val'`` or ``'test'``, for messages.
        rule: The labels that the model has.
        memory: Facts of files of earlier runs.
        max_files: Look at no more images than these, evenly spread.
        advance: Called after each image.

    Raises:
        DataError: Sizes differ, an id or a label is unknown, a label map is a picture in colour ...; the message has
            the first file and the number of others.
        EmptyDatasetError: There is no label at all.
    """
    result, memory = Survey(), memory or FactsMemory()
    faults: list[str] = []
    values: set[float] = set()
    annotated = mapped = False
    for leaf in leaves(dataset):
        result.images += len(leaf)
        result.remarks.update(getattr(leaf, 'remarks', ()))
        for look in in_threads(lambda index, leaf=leaf: _look(leaf, index, rule, memory), _chosen(leaf, max_files)):
            advance()
            result.looked_at += 1
            if result.looked_at % _REMEMBERED == 0:
                memory.save()  # for a start that is killed here
            if look.fault is not None:
                faults.append(look.fault)
            if look.labels is not None:
                annotated = True
                result.classes.update(look.labels)
                result.unlabelled += not look.labels
            values.update(look.values)
            result.remarks[_TURNED] += look.turned
        mapped = mapped or bool(getattr(leaf, 'label_map', None) or getattr(leaf, 'reduce_zero_label', False))
    if faults:
        more = f' ({len(faults) - 1} more images of the {name} data have faults)' if len(faults) > 1 else ''
        raise DataError(faults[0] + more)
    if not mapped and name != 'test':
        check_two_values(values, rule, name)
    if annotated and not result.classes and name != 'test':
        raise EmptyDatasetError(_nothing_labelled(result, name, values))
    if not annotated:
        result.unlabelled = result.looked_at
    result.remarks = +result.remarks
    return result


def _nothing_labelled(found: Survey, name: str, values: set[float]) -> str:
    if values:
        return (f'no pixel of the {found.looked_at} label maps of the {name} data belongs to a class: they hold only '
                f'{", ".join(f"{value:g}" for value in sorted(values))}, which is ignored: write class ids from 0 on, '
                f'or correct the label_map or reduce_zero_label of {name}_dataloader.dataset')
    dropped = ''.join(f'; {count} {remark}' for remark, count in found.remarks.items() if count)
    remedy = ('train on images that have some' if name == 'train' else
              'name another ann_file, or set val_dataloader, val_evaluator and val_cfg to None to train without')
    return (f'no image of the {name} data has an annotation of the classes of {name}_dataloader.dataset{dropped}: name '
            f'categories of its file in metainfo.classes, or {remedy}')


def _chosen(leaf: Any, max_files: int | None) -> Sequence[int]:
    if max_files is None or len(leaf) <= max_files:
        return range(len(leaf))
    return np.unique(np.linspace(0, len(leaf) - 1, max_files).astype(int)).tolist()


def _look(leaf: Any, index: int, rule: LabelRule, memory: FactsMemory) -> _Look:
    info = leaf.get_data_info(index)
    if not isinstance(info.get('img_path'), str) or '://' in info['img_path']:
        return _Look()
    try:
        shape, facts = _shape_as_read(leaf, info, memory)
        if 'height' in info and 'width' in info:
            _compare(info, facts, shape, (info['height'], info['width']), 'its annotation file says')
        labels, values = _annotated(info, shape, facts, rule, memory, _reads_8_bits(leaf))
    except (AnnotationError, DataError, LabelError, UnreadableFileError) as error:
        return _Look(fault=str(error))
    turned = labels is not None and facts is not None and (
        facts.orientation in (2, 3, 4) or (facts.orientation > 4 and facts.height == facts.width))
    return _Look(None, labels, values, turned)


def _annotated(info: Mapping[str, Any], shape: tuple[int, int] | None, image: Facts | None, rule: LabelRule,
               memory: FactsMemory, reads_8_bits: bool) -> tuple[Sequence[int] | None, Sequence[float]]:
    """Labels of an image, None if it has no place for them, and raw values of its label map."""
    path = info.get('seg_map_path')
    if 'segments_info' in info:
        if info['segments_info'] is None or path is None:  # a file of images alone
            return [], ()
        facts = memory.facts(path, 'segments')
        _compare(info, image, shape, (facts.height, facts.width), f'{path} has')
        return _segments(info, facts), ()
    if path and '://' not in path and reads_8_bits:
        facts = memory.facts(path, 'labels')
        _compare(info, image, shape, (facts.height, facts.width), f'its label map {path} has')
        return labels_of(path, facts, info, rule), facts.values or ()
    if 'instances' in info:
        if 'annotations' not in info:  # of mmdetection; ours have been looked at
            _check_instances(info)
        return [*{instance['bbox_label'] for instance in info['instances'] if not instance.get('ignore_flag')}], ()
    return None, ()


def _reads_8_bits(leaf: Any) -> bool:
    """Whether label maps are read by mmsegmentation's transform; what another makes of them is not known."""
    return 'reduce_zero_label' in (getattr(leaf, 'metainfo', None) or {}) and any(
        isinstance(each, LoadAnnotations) and type(each)._load_seg_map is LoadAnnotations._load_seg_map
        for each in _transforms(getattr(leaf, 'pipeline', None)))


def _transforms(pipeline: Any) -> Iterator[Any]:
    """All of a pipeline, those of its loops and branches too."""
    for each in [*getattr(pipeline, 'transforms', ()), *getattr(pipeline, 'subroutines', ())]:
        yield each
        yield from _transforms(each)


def _segments(info: Mapping[str, Any], facts: Facts) -> list[int]:
    path, segments = info['seg_map_path'], info['segments_info']
    if facts.mode not in ('RGB', 'RGBA'):
        raise AnnotationError(f'{path} is no RGB picture: panoptic PNG files write segment ids as colours, red + 256 * '
                              'green + 65536 * blue')
    present = set(facts.values)
    unlisted = present - {_VOID, *(segment['id'] for segment in segments)}
    if unlisted and 'instances' not in info:  # mmdetection leaves thin segments out of its list, and makes them void
        raise AnnotationError(f'{path} has pixels of segment {min(unlisted)}, which its annotation does not list: add '
                              'it there, or write the PNG anew')
    return [*{segment['category'] for segment in segments
              if segment['id'] in present and segment.get('category') is not None and not segment.get('iscrowd')}]


def _check_instances(info: Mapping[str, Any]) -> None:
    for number, instance in enumerate(info['instances']):
        where = f'object number {number} of image {info.get("img_id")} ({info["img_path"]})'
        if not np.isfinite(np.asarray(instance['bbox'], float)).all():
            raise AnnotationError(f'{where} has the box {instance["bbox"]}: correct it, or remove it')
        try:
            if 'mask' in instance:
                clean_mask(instance['mask'], info['height'], info['width'])
        except MaskError as error:
            raise AnnotationError(f'{where} {error}: correct it, or remove it') from error


def _shape_as_read(leaf: Any, info: Mapping[str, Any], memory: FactsMemory
                   ) -> tuple[tuple[int, int] | None, Facts | None]:
    """Height and width of what the pipeline reads, None if that cannot be told; the facts if Pillow can read the file.

    Raises:
        UnreadableFileError: Neither Pillow nor the pipeline can read it.
    """
    try:
        facts = memory.facts(info['img_path'], 'image')
    except UnreadableFileError:
        if not _transforms_of(leaf):
            raise
        return _read_shape(leaf, info), None  # another reader may know the format
    shape = facts.height, facts.width
    if facts.orientation < 5:
        return shape, facts
    return _read_shape(leaf, info) or shape[::-1], facts


def _transforms_of(leaf: Any) -> Sequence[Any]:
    return getattr(getattr(leaf, 'pipeline', None), 'transforms', ())


def _read_shape(leaf: Any, info: Mapping[str, Any]) -> tuple[int, int] | None:
    results: Any = dict(info)
    for transform in _transforms_of(leaf):
        try:
            results = transform(results)
        except Exception as error:  # whatever a transform raises at a file that it cannot read
            raise UnreadableFileError(f'{info["img_path"]} cannot be read by {type(transform).__name__} '
                                      f'({one_line(error, 200)}): write it anew, or remove it and its entry') from error
        if results is None or 'img' in results:
            break
    return tuple(results['img'].shape[:2]) if results and 'img' in results else None


def _compare(info: Mapping[str, Any], facts: Facts | None, shape: tuple[int, int] | None, other: tuple[int, int],
             which: str) -> None:
    if shape is None or tuple(other) == tuple(shape):
        return
    turned, remedy = '', 'use files of one size, or correct the annotation'
    if facts is not None and facts.orientation > 4:
        turned = f' (turned by its EXIF orientation {facts.orientation})'
        if tuple(other) == (facts.height, facts.width):
            remedy = ('the annotation was made for the stored pixels: remove the orientation from the image (exiftool '
                      '-Orientation= FILE), or turn the annotation')
    raise DataError(f'{info["img_path"]} is read with {shape[1]}x{shape[0]} pixels{turned}, but {which} '
                    f'{other[1]}x{other[0]}: {remedy}')
