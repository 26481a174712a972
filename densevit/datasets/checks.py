"""Faults of a data set that would otherwise surface hours into a run."""
from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sized
from typing import Any

import numpy as np

from ..models.segment_targets import check_labels
from .coco_json import stuff_labels
from .locate import HELP, MissingDataError
from .panoptic_segments import check_segments

_FILE_KEYS = ('img_path', 'seg_map_path', 'depth_map_path', 'gt_path')


class EmptyDatasetError(ValueError):
    """A data set has no sample."""


class ClassesError(ValueError):
    """A data set and a model, or two data sets, differ in their classes."""


def check_files(dataset: Any, name: str) -> None:
    """See that there are samples, and that every image and label map they name is there.

    Args:
        dataset: Built by OpenMMLab's classes; one without ``get_data_info`` is taken to be right.
        name: Of the dataset, for messages.

    Raises:
        EmptyDatasetError: There is no sample.
        MissingDataError: Files are missing; the message has the first and their number.
    """
    check_not_empty(dataset, name)
    if not hasattr(dataset, 'get_data_info'):
        return
    missing = [path for path in _files(dataset) if not os.path.exists(path)]
    if missing:
        more = f' and {len(missing) - 1} more files are' if len(missing) > 1 else ' is'
        raise MissingDataError(f'{missing[0]}{more} missing, which the annotations of the {name} data name: add '
                               f'the files or remove their entries; {HELP}')


def check_not_empty(dataset: Sized, name: str) -> None:
    """Raise ``EmptyDatasetError`` if a dataset has no sample."""
    if not len(dataset):
        raise EmptyDatasetError(f'the {name} data has no image: check data_root, data_prefix, ann_file and the file '
                                f'suffixes of {name}_dataloader.dataset; {HELP}')


def _files(dataset: Any) -> Iterator[str]:
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        for key in _FILE_KEYS:
            if isinstance(info.get(key), str) and '://' not in info[key]:
                yield info[key]


def check_classes(dataset: Any, num_classes: int | None, option: str, name: str) -> None:
    """Compare the dataset's classes with the model's.

    Args:
        dataset: Built by OpenMMLab's classes; one without ``metainfo`` is taken to be right.
        num_classes: Of the model; None if it does not tell.
        option: Its key in the config, for messages.
        name: Of the dataset, for messages.

    Raises:
        ClassesError: Their numbers differ.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if classes is not None and num_classes is not None and len(classes) != num_classes:
        raise ClassesError(f'the {name} data has {len(classes)} classes ({classes[0]}, ...), but the model has '
                           f'num_classes={num_classes}: set {option}={len(classes)}')


def check_same_classes(dataset: Any, other: Any, name: str, other_name: str) -> None:
    """Compare the classes of two data sets, which annotation files of their own may number differently.

    Raises:
        ClassesError: They differ in a name or in the order.
    """
    classes, others = ((getattr(data, 'metainfo', None) or {}).get('classes') for data in (dataset, other))
    if classes is None or others is None:
        return
    for label, (own, their) in enumerate(zip(classes, others, strict=False)):
        if own != their:
            raise ClassesError(f"class {label} is '{own}' in the {name} data and '{their}' in the {other_name} data: "
                               'give both the same order, such as by dataset.metainfo=dict(classes=...)')


def check_stuff(dataset: Any, stuff_classes: Collection[int], name: str) -> None:
    """Compare a panoptic model's uncounted classes with those of a dataset that tells (``isthing``).

    Raises:
        ClassesError: They differ.
    """
    metainfo = getattr(dataset, 'metainfo', None) or {}
    if 'isthing' not in metainfo:
        return
    stuff = stuff_labels(metainfo)
    for label in sorted(set(stuff) ^ set(stuff_classes)):
        if label < len(metainfo['classes']):
            kinds = ('stuff', 'a thing') if label in stuff else ('a thing', 'stuff')
            raise ClassesError(f"class {label} ({metainfo['classes'][label]}) of the {name} data is {kinds[0]}, but "
                               f'{kinds[1]} in the model: set model.stuff_classes={stuff}')


def check_panoptic_files(dataset: Any, name: str, samples: int = 16) -> None:
    """Compare the PNG files of some images, evenly spread, with their annotations; a dataset without them is right.

    Raises:
        AnnotationError: One does not fit.
    """
    if not hasattr(dataset, 'get_data_info'):
        return
    for index in np.unique(np.linspace(0, len(dataset) - 1, samples).astype(int)).tolist():
        info = dataset.get_data_info(index)
        if 'segments_info' not in info:
            return
        check_segments(info)


def check_sample(sample: Any, num_classes: int | None, ignore_index: int = 255) -> None:
    """See that the label map of a packed sample, if it has one, holds only classes of the model.

    Raises:
        ValueError: A label is outside [0, num_classes) and is not ``ignore_index``.
    """
    data_sample = sample.get('data_samples') if isinstance(sample, dict) else None
    if num_classes is None or data_sample is None or 'gt_sem_seg' not in data_sample:
        return
    where = data_sample.get('seg_map_path', None) or data_sample.get('img_path', 'a label map')
    semantic = data_sample.gt_sem_seg  # mmdetection calls the map sem_seg, mmsegmentation data
    labels = semantic.sem_seg if 'sem_seg' in semantic else semantic.data
    check_labels(labels.unique(), num_classes, ignore_index, where)
