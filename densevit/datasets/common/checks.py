"""Faults of a data set that would otherwise surface hours into a run."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from typing import Any

from mmengine.fileio import load
from torch import nn

from .coco_json import AnnotationError, EmptyDatasetError, first_repeated, read_coco, reading
from .locate import HELP, MissingDataError, datasets_of
from .survey import Survey, leaves
from .task_checks import TaskChecks

_FILE_KEYS = ('img_path', 'seg_map_path', 'depth_map_path', 'gt_path', 'alpha_path', 'trimap_path')


class ClassesError(ValueError):
    """A data set and a model, or two data sets, differ in their classes."""


def check_files(dataset: Any, name: str) -> None:
    """See that there are samples, and that every image and label map they name is there.

    Args:
        dataset: Built by OpenMMLab's classes; one without ``get_data_info`` is taken to be right.
        name: The name of the split, for messages.

    Raises:
        EmptyDatasetError: There is no sample.
        MissingDataError: Files are missing; the message has the first and their number.
    """
    check_not_empty(dataset, name)
    missing = [path for path in _files(dataset) if not os.path.exists(path)]
    if missing:
        more = f' and {len(missing) - 1} more files are' if len(missing) > 1 else ' is'
        raise MissingDataError(f'{missing[0]}{more} missing, which the annotations of the {name} data name: add '
                               f'the files or remove their entries; {HELP}')


def check_not_empty(dataset: Sized, name: str) -> None:
    """Raise ``EmptyDatasetError`` if a dataset has no sample."""
    if not len(dataset):
        raise EmptyDatasetError(f'the {name} data has no image: see what ann_file, indices and filter_cfg of '
                                f'{name}_dataloader.dataset leave of it; {HELP}')


def _files(dataset: Any) -> Iterator[str]:
    for leaf in leaves(dataset):
        for index in range(len(leaf)):
            info = leaf.get_data_info(index)
            for key in _FILE_KEYS:
                if isinstance(info.get(key), str) and '://' not in info[key]:
                    yield info[key]


def check_classes(dataset: Any, num_classes: int | None, option: str, name: str) -> None:
    """Compare the dataset's classes with the model's.

    Args:
        dataset: Built by OpenMMLab's classes; one without ``metainfo`` is taken to be right.
        num_classes: The model's number of classes; None if it does not tell.
        option: The key of that number in the config, for messages.
        name: The name of the split, for messages.

    Raises:
        ClassesError: Their numbers differ.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if isinstance(classes, str):
        raise ClassesError(f"the classes of the {name} data are the text '{classes}', and not a list of names: write "
                           f"{name}_dataloader.dataset.metainfo=dict(classes=['{classes}'])")
    if classes is not None and num_classes is not None and len(classes) != num_classes:
        raise ClassesError(f'the {name} data has {len(classes)} classes ({classes[0]}, ...), but the model has '
                           f'num_classes={num_classes}: set {option}={len(classes)}')


def classes_of(model: nn.Module) -> tuple[int | None, str]:
    """The number of classes of a model, or of the head of a stock model, and its key in the config."""
    for path in ('decode_head', 'bbox_head', 'roi_head.bbox_head'):
        head = model
        for part in path.split('.'):
            head = getattr(head, part, None)
        if isinstance(head, nn.ModuleList):  # the stages of a cascade
            head = head[0]
        if type(head).__name__.endswith('RPNHead'):  # of any object at all, in mmdet's model of proposals alone
            continue
        if (num_classes := getattr(head, 'num_classes', None)) is not None:
            return num_classes, f'model.{path}.num_classes'
    return getattr(model, 'num_classes', None), 'model.num_classes'


def check_same_classes(dataset: Any, other: Any, name: str, other_name: str) -> None:
    """Compare the classes of two data sets, which annotation files of their own may number differently.

    Raises:
        ClassesError: They differ in a name or in the order.
    """
    classes, others = ((getattr(data, 'metainfo', None) or {}).get('classes') for data in (dataset, other))
    if classes is None or others is None or list(classes) == list(others):
        return
    label = next((label for label, (own, their) in enumerate(zip(classes, others, strict=False)) if own != their),
                 min(len(classes), len(others)))
    own, their = (f"'{names[label]}'" if label < len(names) else 'none' for names in (classes, others))
    what = f'class {label} is {own} in the {name} data and {their} in the {other_name} data'
    if absent := [each for each in others if each not in classes]:
        file = next((leaf.ann_file for leaf in leaves(dataset) if getattr(leaf, 'ann_file', '')), f'the {name} data')
        raise ClassesError(f'{what}: add {", ".join(map(repr, absent))} to the categories of {file}, which may be '
                           f'without annotations there, in the order of the {other_name} data')
    if any(hasattr(leaf, 'cat_ids') for leaf in leaves(dataset)):  # mmdetection's numbers are those of the file
        raise ClassesError(f'{what}: put the categories of its ann_file and metainfo.classes into the order of the '
                           f'{other_name} data')
    raise ClassesError(f'{what}: set {name}_dataloader.dataset.metainfo=dict(classes={list(others)}), those of the '
                       f'{other_name} data')


def check_stock_coco(dataset: Any, name: str) -> Counter[str]:
    """Look for what mmdetection's COCO datasets are silent about, in files of other classes than COCO's.

    Returns:
        How many annotations mmdetection leaves out.

    Raises:
        AnnotationError: Two images have one id.
        ClassesError: ``metainfo.classes`` has another order than the file, by which mmdetection numbers classes, or a
            name that the file does not have, whose annotations are left out.
    """
    remarks: Counter[str] = Counter()
    for leaf in leaves(dataset):
        classes = list((getattr(leaf, 'metainfo', None) or {}).get('classes') or ())
        if not hasattr(leaf, 'cat_ids') or classes == list(type(leaf).METAINFO.get('classes') or ()):
            continue
        content = load(leaf.ann_file)
        if (repeated := next(first_repeated([image['id'] for image in content['images']]), None)) is not None:
            raise AnnotationError(f'{leaf.ann_file} has two images of id {repeated}: give each its own, and their '
                                  'annotations with it')
        _check_category_order(leaf, content['categories'], classes, name)
        read = {(info := leaf.get_data_info(index))['img_id']: len(info['instances']) for index in range(len(leaf))}
        listed = sum(each['image_id'] in read and each['category_id'] in leaf.cat_ids
                     for each in content.get('annotations', ()))
        remarks['annotations left out by mmdetection (no area, outside of the image, below a pixel, or ignored)'] += (
            listed - sum(read.values()))
    return +remarks


def _check_category_order(leaf: Any, categories: Sequence[dict[str, Any]], classes: Sequence[str], name: str) -> None:
    names = {category['id']: category['name'] for category in categories}
    numbered = [names[id_] for id_ in leaf.cat_ids if id_ in names]
    if absent := [each for each in classes if each not in numbered]:
        raise ClassesError(f"metainfo.classes of the {name} data has '{absent[0]}', which is no category of "
                           f'{leaf.ann_file}: it has {", ".join(map(str, names.values()))}')
    if numbered != list(classes):
        raise ClassesError(f'mmdetection numbers the classes of the {name} data as {leaf.ann_file} lists them, and '
                           f'metainfo.classes names them in another order: set {name}_dataloader.dataset.metainfo='
                           f'dict(classes={numbered}), or put the categories of the file into your order')


def check_coco_files(cfg: Any, splits: Sequence[str] = ('train', 'val')) -> None:
    """Say what keeps mmdetection's COCO datasets from being built; it fails at a missing key without a place.

    Raises:
        AnnotationError: A file is not of COCO's form, or an entry lacks what mmdetection needs.
    """
    for _, dataset in datasets_of(cfg, splits):
        if str(dataset.get('type')).rpartition('.')[2] != 'CocoDataset' or not dataset.get('ann_file'):
            continue
        path = os.path.join(dataset.get('data_root') or '', dataset['ann_file'])
        content = read_coco(path, images_alone=True)
        for kind, keys in (('categories', ('id', 'name')), ('images', ('id', 'file_name', 'height', 'width')),
                           ('annotations', ('id', 'image_id', 'category_id', 'bbox', 'area'))):
            for index, each in enumerate(content.get(kind, ())):
                with reading(f'number {index} of the {kind} in {path}'):
                    values = [each[key] for key in keys]
                    if kind == 'annotations':
                        _, _, _, _ = map(float, each['bbox'])
                        float(each['area'])
                    hash(tuple(values[:3]))


def summary(surveys: dict[str, Survey], datasets: dict[str, Any], tasks: dict[str, Sequence[TaskChecks]]) -> list[str]:
    """Lines of a short table of all splits, and of what is worth knowing about them.

    Args:
        surveys, datasets, tasks: What was found, the datasets, and the tasks' checks, by the name of the split.
    """
    lines = [f'{"data":8}{"images":>10}{"looked at":>12}{"unlabelled":>12}{"classes":>12}']
    notes = []
    for name, found in surveys.items():
        classes = (getattr(datasets[name], 'metainfo', None) or {}).get('classes') or ()
        occurring = f'{len(found.classes)} of {len(classes)}' if classes and found.classes else '-'
        lines.append(f'{name:8}{found.images:10}{found.looked_at:12}{found.unlabelled:12}{occurring:>12}')
        absent = [each for label, each in enumerate(classes) if label not in found.classes]
        if name == 'train' and found.classes and absent and found.complete:
            notes.append(f'train: never occurs: {", ".join(absent)}')
        if not found.complete:
            notes.append(f'{name}: a sample of the files was looked at (max_files of densevit.DataCheckHook)')
        notes.extend(f'{name}: {count} {remark}' for remark, count in found.remarks.items())
        notes.extend(f'{name}: {note}' for task in tasks[name] for note in task.notes(datasets[name]))
    return lines + notes
