"""Folders with boxes or masks of objects: COCO's JSON in the layouts of common tools, or YOLO's labels."""
from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from operator import is_
from pathlib import Path
from typing import Any

from .coco_json import AnnotationError, palette_of, read_coco, reading
from .coco_masks import is_box
from .folders import (
    HASHED,
    IMAGE_SUFFIXES,
    SPLIT_NAMES,
    FolderError,
    FolderFacts,
    FolderReader,
    divide,
    nested,
    split_of,
)
from .yolo_folders import find_description, read_yolo, walk

_OTHER_FILES = ('panoptic', 'captions', 'keypoints', 'stuff', 'image_info', 'classes', 'data_check')
_LAYOUTS = ('train/_annotations.coco.json beside its images (Roboflow), annotations/instances_train.json and a folder '
            'of images, one JSON file beside its images or their folder, or the data.yaml of YOLO')
_DEEP = 3  # folders below the given one in which images may lie


class CocoFolder(FolderReader):
    """COCO's form, or YOLO's, of which COCO's files are written; a config's class, pipeline and filter stay.

    A folder with a YAML file of YOLO (:func:`find_description`) is read as that. Classes are the categories of the
    training file. A category that nothing is annotated with and that others name as their supercategory, which Roboflow
    writes, is left out.
    """

    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        masks, description = _learns_masks(dataset), find_description(folder)
        if description:
            contents, notes = read_yolo(description, masks)
            sources, layout, changed = dict.fromkeys(contents, description), "YOLO's labels", set(contents)
        else:
            sources, layout, changed = _annotation_files(folder), "COCO's JSON", set()
            contents, notes = _read_files(sources)
            for split, content in contents.items():
                _check_entries(content, sources[split])
        if not contents['train']['annotations']:
            raise FolderError(f'{sources["train"]} describes no object of the training images: label some')
        for split, content in contents.items():
            if (named := _relative_names(content, folder)) is not content:
                contents[split] = named
                changed.add(split)
        classes, palette, left_out = _classes(contents)
        if left_out:
            notes.append(f'the category {", ".join(left_out)} of no annotation, which others name as their '
                         'supercategory, is left out')
        ids = {category['name']: category['id'] for category in contents['train']['categories']}
        images = {split: _image_folder(folder, sources[split], content) for split, content in contents.items()}
        for split, content in contents.items():
            if masks and not description:
                _check_masks(content, sources[split])
            _check_categories(content, classes, sources[split], sources['train'])
            if (ordered := _in_order(content, classes)) is not content:
                contents[split] = ordered
                changed.add(split)
        names = dict.fromkeys(sources[split].relative_to(folder).as_posix() for split in contents)
        division = f'the split of {", ".join(names)}'
        if 'val' not in contents:
            whole, division = contents['train'], HASHED if description else f'{HASHED} in {", ".join(names)}'
            for split, part in zip(('train', 'val'), _divided(whole, folder), strict=True):
                contents[split], images[split] = part, images['train']
                changed.add(split)
        files = {split: scratch.absolute() / f'{split}.json' if split in changed else sources[split]
                 for split in contents}
        datasets = {split: dict(
            data_root=str(folder), ann_file=_below(files[split], folder),
            data_prefix=dict(img=_below(images[split], folder)),
            metainfo=dict(classes=classes, **(dict(palette=palette) if palette else {}))) for split in contents}
        return FolderFacts(
            layout, datasets, {split: len(content['images']) for split, content in contents.items()}, division, classes,
            palette, notes, {files[split].name: json.dumps(contents[split]).encode() for split in changed},
            ids=[ids[name] for name in classes])

    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in old.items() if key != 'indices'} | dict(new)

    def evaluator(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        if 'ann_file' not in old:  # a metric that takes the annotations from the samples
            return dict(old)
        return dict(old, ann_file=os.path.join(new['data_root'], new['ann_file']))


# mmdetection's panoptic dataset derives from its CocoDataset, and is of another form.
READERS = {
    'densevit.CocoInstanceDataset': CocoFolder(), 'mmdet.CocoDataset': CocoFolder(), 'mmdet.CocoPanopticDataset': None}


def _annotation_files(folder: Path) -> dict[str, Path]:
    """The file of each split; one that names no split is that of all images, ``'train'``."""
    found = sorted({path for pattern in ('*.json', '*/*.json') for path in folder.glob(pattern)
                    if not any(word in path.stem.lower() for word in _OTHER_FILES)
                    and not any(path.with_suffix(suffix).is_file() for suffix in IMAGE_SUFFIXES)})  # labelme's own
    for chosen in ([path for path in found if path.name == '_annotations.coco.json'],
                   [path for path in found if path.stem.startswith('instances')], found):
        if chosen:
            break
    named = [(split_of(path.relative_to(folder).as_posix()), path) for path in chosen]
    by_split: dict[str, Path] = {}
    for split, path in [pair for pair in named if pair[0]] or named:
        other = by_split.setdefault(split or 'train', path)
        if other is not path:
            raise FolderError(f'{other} and {path} are both annotations for {split or "training"}: leave one of them '
                              f'in {folder}, or name the data in a config of your own')
    if 'train' not in by_split:
        have = f'it has only {", ".join(map(str, by_split.values()))}' if by_split else 'it has no such JSON file'
        raise FolderError(f'{folder} has no annotations to learn from in {_LAYOUTS}: {have}')
    return {split: by_split[split] for split in SPLIT_NAMES if split in by_split}


def _read_files(paths: dict[str, Path]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The content of each split, and what is to be said; a test file without annotations is left out."""
    contents = {split: read_coco(str(path), images_alone=split == 'test') for split, path in paths.items()}
    if 'annotations' in contents.get('test', dict(annotations=())):
        return contents, []
    del contents['test']
    return contents, [f'{paths["test"]} has no annotations, and is left out']


def _check_entries(content: Mapping[str, Any], path: Path) -> None:
    """See that entries have ids of their own, that annotations are of an image, and that boxes are such.

    A dataset sees to that too, but names a file that the user did not write where the content is changed, and
    mmdetection's takes entries of one id for one.
    """
    images = _ids(content['images'], 'image', path)
    _ids(content['categories'], 'category', path)
    for category in content['categories']:
        if not isinstance(category.get('name'), str) or not category['name']:
            raise AnnotationError(f'{path} has a category of id {category["id"]} without a name: add it')
    _ids(content['annotations'], 'annotation', path, optional=True)
    for index, annotation in enumerate(content['annotations']):
        number, image_id = annotation.get('id'), annotation.get('image_id')
        where = f'{path}: annotation {f"number {index}" if number is None else number}'
        if not isinstance(image_id, Hashable) or image_id not in images:
            raise AnnotationError(f'{where} has image_id {image_id}, which is not in the list of images: correct it, '
                                  'or remove the annotation')
        if not isinstance(annotation.get('category_id'), Hashable):
            raise AnnotationError(f'{where} has category_id {annotation["category_id"]}: write the id of a category')
        if not annotation.get('segmentation') and not is_box(annotation.get('bbox'), empty=True):
            raise AnnotationError(f'{where} of image {image_id} has the box {annotation.get("bbox")!r:.40}: write '
                                  '[x, y, width, height] in pixels, or remove the annotation')
        if is_box(annotation.get('bbox'), empty=True) and min(annotation['bbox'][2:]) < 0:
            raise AnnotationError(f'{where} of image {image_id} has the box {annotation["bbox"]}, of a negative side: '
                                  'write [x, y, width, height] in pixels, or remove the annotation')


def _ids(entries: Sequence[Any], kind: str, path: Path, optional: bool = False) -> set[Hashable]:
    ids: set[Hashable] = set()
    for index, entry in enumerate(entries):
        with reading(f'{kind} number {index} in {path}'):
            if optional and entry.get('id') is None:
                continue
            if entry['id'] in ids:
                raise AnnotationError(f'{path} has two entries for {kind} {entry["id"]}: give each its own id')
            ids.add(entry['id'])
    return ids


def _relative_names(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content with file names below the folder in the place of absolute ones, and those of Windows as ours.

    It is the same object if nothing is to be changed.
    """
    images = []
    for image in content['images']:
        name = image.get('file_name')
        if isinstance(name, str):
            name = name.replace('\\', '/') if os.sep == '/' else name
            if os.path.isabs(name) and os.path.isfile(name):
                name = Path(os.path.relpath(name, folder)).as_posix()
            image = image if name == image['file_name'] else dict(image, file_name=name)
        images.append(image)
    return content if all(map(is_, images, content['images'])) else dict(content, images=images)


def _in_order(content: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The content with its categories in the order of the classes, in which mmdetection numbers them."""
    order = {name: label for label, name in enumerate(classes)}
    ordered = sorted(content['categories'], key=lambda category: order.get(category['name'], len(order)))
    listed = [category['name'] for category in content['categories'] if category['name'] in order]
    return content if listed == list(classes) else dict(content, categories=ordered)


def _classes(contents: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], list[list[int]], list[str]]:
    """Names and colours of the training file's categories, and the names that are left out."""
    categories = contents['train']['categories']
    used = {(split, annotation.get('category_id')) for split, content in contents.items()
            for annotation in content['annotations']}
    names_used = {category['name'] for split, content in contents.items() for category in content['categories']
                  if (split, category['id']) in used}
    parents = {category.get('supercategory') for category in categories}
    left_out = [category['name'] for category in categories
                if category['name'] not in names_used and category['name'] in parents
                and category.get('supercategory') in (None, '', 'none')]
    kept = [category for category in categories if category['name'] not in left_out]
    return tuple(category['name'] for category in kept), palette_of(kept), left_out


def _check_categories(content: Mapping[str, Any], classes: Sequence[str], path: Path, train: Path) -> None:
    names = [category['name'] for category in content['categories']]
    if absent := [name for name in classes if name not in names]:
        raise FolderError(f"{path} has no category '{absent[0]}', which {train} has: add it to its categories; it may "
                          'be without annotations there')
    known = {category['id'] for category in content['categories']}
    for annotation in content['annotations']:
        if annotation.get('category_id') not in known:
            raise AnnotationError(f'{path}: annotation {annotation.get("id")} of image {annotation["image_id"]} has '
                                  f'category_id {annotation.get("category_id")}, which is not in the list of '
                                  'categories: correct it, or remove the annotation')


def _image_folder(folder: Path, path: Path, content: Mapping[str, Any]) -> Path:
    """The folder in which all images of a file are.

    Raises:
        FolderError: There is none; the message names the first image that is missing in the best one.
    """
    names = [image.get('file_name') for image in content['images']]
    if not names or any(not isinstance(name, str) or not name for name in names):
        raise FolderError(f'{path} has {"no image" if not names else "an image without a file_name"}: correct it')
    best, missing = None, names
    for candidate in _folders(folder, path):
        here = [name for name in names if not (candidate / name).is_file()]
        if best is None or len(here) < len(missing):
            best, missing = candidate, here
        if not missing:
            return candidate
    more = f' and {len(missing) - 1} more images' if len(missing) > 1 else ''
    raise FolderError(f'{best / missing[0]}{more}, which {path} names, cannot be found below {folder}: add the files, '
                      'or remove their entries')


def _folders(folder: Path, path: Path) -> list[Path]:
    """Where images may lie: beside the file, in folders of its split, anywhere below but in those of another split."""
    split = split_of(path.relative_to(folder).as_posix())
    deep = sorted(root for root, _ in walk(folder, _DEEP))
    splits = {each: split_of(each.relative_to(folder).as_posix()) for each in deep}
    named = [each for each, other in splits.items() if other == split]
    return [path.parent, *named, *(each for each, other in splits.items() if other is None)]


def _learns_masks(dataset: Mapping[str, Any]) -> bool:
    """Whether the config's dataset or its pipeline loads masks."""
    if 'with_masks' in dataset:  # of densevit.CocoInstanceDataset
        return dataset['with_masks']
    found: list[Mapping[str, Any]] = []
    nested(list(dataset.get('pipeline') or ()), lambda transform: found.append(transform) or transform)
    return any(transform.get('with_mask') for transform in found)


def _check_masks(content: Mapping[str, Any], path: Path) -> None:
    without = [each for each in content['annotations'] if not each.get('segmentation')]
    if without:
        raise FolderError(f'{path} has {len(without)} annotations without a segmentation (the first is of id '
                          f'{without[0].get("id")}), and the config learns masks: draw them, remove these annotations, '
                          'or take a config that detects boxes')


def _divided(content: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The content to learn from and to validate on."""
    parts = []
    for names in map(set, divide([image['file_name'] for image in content['images']], folder)):
        images = [image for image in content['images'] if image['file_name'] in names]
        ids = {image['id'] for image in images}
        parts.append(dict(content, images=images, annotations=[
            each for each in content['annotations'] if each['image_id'] in ids]))
    return parts


def _below(path: Path, folder: Path) -> str:
    if path == folder:
        return ''
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
