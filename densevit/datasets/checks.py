"""Faults of a data set that would otherwise surface hours into a run."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from typing import Any

from ..models.segment_targets import check_labels
from .locate import HELP, MissingDataError

_FILE_KEYS = ('img_path', 'seg_map_path', 'depth_map_path', 'gt_path')


class EmptyDatasetError(ValueError):
    """A data set has no sample."""


class ClassesError(ValueError):
    """A data set and a model have different numbers of classes."""


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


def check_sample(sample: Any, num_classes: int | None, ignore_index: int = 255) -> None:
    """See that the label map of a packed sample, if it has one, holds only classes of the model.

    Raises:
        ValueError: A label is outside [0, num_classes) and is not ``ignore_index``.
    """
    data_sample = sample.get('data_samples') if isinstance(sample, dict) else None
    if num_classes is None or data_sample is None or 'gt_sem_seg' not in data_sample:
        return
    where = data_sample.get('seg_map_path', None) or data_sample.get('img_path', 'a label map')
    check_labels(data_sample.gt_sem_seg.data.unique(), num_classes, ignore_index, where)
