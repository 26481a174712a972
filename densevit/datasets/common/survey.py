"""One pass over the files of a data set before a run: of one size, as the annotations say, with labels of the model."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...errors import one_line
from .coco_json import AnnotationError, EmptyDatasetError
from .coco_masks import MaskError, clean_mask
from .file_facts import Facts, FactsMemory, UnreadableFileError, in_threads
from .task_checks import DataError, Labels, Picture, TaskChecks

_REMEMBERED = 1000  # images, after which what was read is written down
_TURNED = ('images are mirrored or turned by their EXIF orientation, and their size cannot tell whether the labels are '
           'made for that: look at some, or remove the orientation (exiftool -Orientation= FILES)')


@dataclass
class Survey:
    """What a split of the data holds.

    Attributes:
        images: The number of images.
        looked_at: The number of those whose files were read.
        unlabelled: The number of these without an annotation, or without a pixel that belongs to a class.
        classes: By label, in how many images it occurs.
        values: Raw values of label maps.
        remarks: What else is worth knowing, and how often it was met.
    """
    images: int = 0
    looked_at: int = 0
    unlabelled: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    values: set[float] = field(default_factory=set)
    remarks: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        return self.looked_at == self.images


class _Look(NamedTuple):
    """At one image: a fault, or its labels (None if there is nothing that could tell) and whether it may be turned."""
    fault: str | None = None
    labels: Labels | None = None
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
    tasks: Sequence[TaskChecks] = (),
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
        tasks: What the tasks see to; the first that knows what annotates an image looks at it.
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
    annotated = False
    for leaf in leaves(dataset):
        result.images += len(leaf)
        result.remarks.update(getattr(leaf, 'remarks', ()))
        for look in in_threads(lambda index, leaf=leaf: _look(leaf, index, tasks, memory), _chosen(leaf, max_files)):
            advance()
            result.looked_at += 1
            if result.looked_at % _REMEMBERED == 0:
                memory.save()  # for a start that is killed here
            if look.fault is not None:
                faults.append(look.fault)
            if look.labels is not None:
                annotated = True
                result.classes.update(look.labels.classes)
                result.unlabelled += not look.labels.classes
                result.values.update(look.labels.values)
            result.remarks[_TURNED] += look.turned
    if faults:
        more = f' ({len(faults) - 1} more images of the {name} data have faults)' if len(faults) > 1 else ''
        raise DataError(faults[0] + more)
    for task in tasks:
        task.check_survey(result, dataset, name)
    if annotated and not result.classes and name != 'test':
        raise EmptyDatasetError(_nothing_annotated(result, name))
    if not annotated:
        result.unlabelled = result.looked_at
    result.remarks = +result.remarks
    return result


def _nothing_annotated(found: Survey, name: str) -> str:
    dropped = ''.join(f'; {count} {remark}' for remark, count in found.remarks.items() if count)
    remedy = ('train on images that have some' if name == 'train' else
              'name another ann_file, or set val_dataloader, val_evaluator and val_cfg to None to train without')
    return (f'no image of the {name} data has an annotation of the classes of {name}_dataloader.dataset{dropped}: name '
            f'categories of its file in metainfo.classes, or {remedy}')


def _chosen(leaf: Any, max_files: int | None) -> Sequence[int]:
    if max_files is None or len(leaf) <= max_files:
        return range(len(leaf))
    return np.unique(np.linspace(0, len(leaf) - 1, max_files).astype(int)).tolist()


def _look(leaf: Any, index: int, tasks: Sequence[TaskChecks], memory: FactsMemory) -> _Look:
    info = leaf.get_data_info(index)
    if not isinstance(info.get('img_path'), str) or '://' in info['img_path']:
        return _Look()
    try:
        shape, facts = _shape_as_read(leaf, info, memory)
        picture = Picture(info, facts, shape)
        if 'height' in info and 'width' in info:
            picture.require_size(info['height'], info['width'], 'its annotation file says')
        labels = next((found for task in tasks if (found := task.look(leaf, picture, memory)) is not None), None)
        if labels is None and 'instances' in info:
            if 'annotations' not in info:  # of mmdetection; ours have been looked at
                _check_instances(info)
            labels = Labels([*{instance['bbox_label'] for instance in info['instances']
                               if not instance.get('ignore_flag')}])
    except (AnnotationError, DataError, UnreadableFileError) as error:
        return _Look(fault=str(error))
    turned = labels is not None and facts is not None and (
        facts.orientation in (2, 3, 4) or (facts.orientation > 4 and facts.height == facts.width))
    return _Look(None, labels, turned)


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
        except DataError:  # which says what does not fit, and is no fault of reading
            raise
        except Exception as error:  # whatever a transform raises at a file that it cannot read
            raise UnreadableFileError(f'{info["img_path"]} cannot be read by {type(transform).__name__} '
                                      f'({one_line(error, 200)}): write it anew, or remove it and its entry') from error
        if results is None or 'img' in results:
            break
    return tuple(results['img'].shape[:2]) if results and 'img' in results else None
