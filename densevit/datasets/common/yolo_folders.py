"""Folders in YOLO's layout, read as the content of COCO's files.

``data.yaml`` names the classes and the images of each split; a label file in ``labels/``, beside ``images/``, has a
line for each object (docs.ultralytics.com/datasets, "Detect" and "Segment"): ``class x y width height``, with the
centre of the box, or ``class x1 y1 x2 y2 x3 y3 ...``, one polygon; all coordinates are shares of the image. An object
of several parts cannot be written in this form: each part is an object of its own.
"""
from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pycocotools import mask as rle_tools

from ...errors import one_line, shorten
from .coco_masks import MaskError, compressed, inside, mask_box
from .file_facts import in_threads, read_facts
from .folders import IMAGE_SUFFIXES, SPLIT_NAMES, FolderError

_YAML = ('.yaml', '.yml')
_USUAL = ('data', 'dataset')  # names of the YAML file
_KEYS = re.compile(rb'^(names|train|val)\s*:', re.MULTILINE)
_CLASSES = 'classes.txt'  # in the place of a YAML file in what Label Studio exports
_OTHER_FILES = (_CLASSES, 'labels.txt', 'obj.names', 'predefined_classes.txt')  # in folders of labels
_MARGIN = .01  # beyond the image, of coordinates that were rounded
_BOX, _POLYGON = 4, 6  # coordinates of a box, and of the smallest polygon


def find_description(folder: Path) -> Path | None:
    """The file that says what a folder in YOLO's layout holds; None for a folder of another layout.

    Raises:
        FolderError: There are several.
    """
    found = [path for path in sorted(folder.iterdir())
             if path.suffix.lower() in _YAML and path.is_file() and _KEYS.search(path.read_bytes())]
    found = [path for path in found if path.stem.lower() in _USUAL] or found
    if len(found) > 1:
        raise FolderError(f'{found[0]} and {found[1]} both describe data: leave one of them in {folder}')
    if found:
        return found[0]
    path = folder / _CLASSES
    return path if path.is_file() and all((folder / name).is_dir() for name in ('images', 'labels')) else None


def read_yolo(description: Path, needs_masks: bool) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What a folder holds, by split in COCO's form, and what the user should know about it.

    Category ids are the numbers of the classes in the label files, and file names are absolute paths. Without images
    to validate on there is no entry for them. An image without a label file is one without objects.

    Args:
        description: What :func:`find_description` found.
        needs_masks: Whether a box in the place of a polygon is an error.

    Raises:
        FolderError: Something cannot be used; the message names the file, its line and the remedy.
    """
    names, entries, root, notes = _described(description)
    paths = {split: _image_paths(entries[split], root, f'{split} of {description}') for split in entries}
    if not paths.get('test', True):
        notes.append(f'test of {description} has no image, and is left out')
        del paths['test']
    for split, images in paths.items():
        if not images:
            raise FolderError(f'{split} of {description} has no image: add some, or remove the entry'
                              + (', with which a tenth of the others validates' if split == 'val' else ''))
    if both := len(set(paths['train']) & set(paths.get('val', ()))):
        notes.append(f'{both} images are both learned from and validated on')
    labels = {split: _label_paths(images) for split, images in paths.items()}
    for split, by_image in list(labels.items()):
        if without := sum(path is None for path in by_image.values()):
            first = next(image for image, path in by_image.items() if path is None)
            if without < len(by_image):
                notes.append(f'{without} of the {len(by_image)} images of {split} have no label file, as {first}: they '
                             'are read as images without objects')
            elif split == 'test':
                notes.append(f'test of {description} has no labels, and is left out')
                del labels['test']
            else:
                raise FolderError(f'no image of {split} of {description} has a label file; that of {first} would be '
                                  f'{_label_path(first)}: add them')
    known = {label for by_image in labels.values() for label in by_image.values()}
    unused = [path for folder in sorted({label.parent for label in known if label})
              for path in sorted(folder.glob('*.txt')) if path not in known and path.name not in _OTHER_FILES
              and not any(_find(entry, root) == path for split in entries.values() for entry in split)]
    if unused:
        notes.append(f'{len(unused)} label files have no image in the splits, as {unused[0]}: they are not read')
    categories = [dict(id=number, name=name) for number, name in names.items()]
    contents = {split: _content(by_image, categories, description, needs_masks) for split, by_image in labels.items()}
    return contents, notes


def _described(description: Path) -> tuple[dict[int, str], dict[str, list[str]], Path, list[str]]:
    """Names by the number of their class, entries of the splits, and the folder to which these are relative."""
    folder = description.parent
    if description.name == _CLASSES:
        return _names([line.strip() for line in _lines(description) if line.strip()], description), dict(
            train=['images']), folder, []
    try:
        data = yaml.safe_load(description.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FolderError(f'{description} cannot be read as YAML ({one_line(error, 200)}): correct it') from error
    if not isinstance(data, dict):
        raise FolderError(f'{description} is a {type(data).__name__}, and YOLO has keys such as names and train')
    if 'kpt_shape' in data:
        raise FolderError(f'{description} has kpt_shape: labels with keypoints are not read; export boxes or polygons, '
                          'and remove the key')
    names = _names(data.get('names'), description)
    if isinstance(count := data.get('nc'), int) and count < len(names):
        raise FolderError(f'{description} has nc: {count} and {len(names)} names: make them the same')
    root, notes = folder, []
    if (given := data.get('path')) not in (None, ''):
        if not isinstance(given, str):
            raise FolderError(f'path of {description} is a {type(given).__name__}: write the name of a folder, or '
                              'remove it')
        root = folder / given.replace('\\', '/')
        if not root.is_dir():  # of the machine where it was written
            notes.append(f'path of {description} is {given}, which is not there: {folder} is taken in its place')
            root = folder
    entries = {}
    for split, keys in SPLIT_NAMES.items():
        value = next((data[key] for key in keys if data.get(key)), None)
        if value is None:
            continue
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise FolderError(f'{split} of {description} is neither a path nor a list of paths: correct it')
        entries[split] = value
    if 'train' not in entries:
        raise FolderError(f'{description} has no train: write the folder of the images to learn from')
    if 'test' in entries and not any(_find(entry, root) for entry in entries['test']):  # exporters write it always
        notes.append(f'test of {description} is not there, and is left out')
        del entries['test']
    return names, entries, root, notes


def _names(given: Any, path: Path) -> dict[int, str]:
    if not isinstance(given, list | dict) or not given:
        raise FolderError(f'{path} has no names of classes: write names: [first, second, ...], or a line a name in '
                          f'{_CLASSES}')
    names = {}
    for number, name in given.items() if isinstance(given, dict) else enumerate(given):
        if isinstance(number, str) and number.isdecimal():
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise FolderError(f'names of {path} have a {type(number).__name__} in the place of the number of a class: '
                              'write 0: first, 1: second, ...')
        if isinstance(name, bool) or not isinstance(name, str | int | float) or name == '':
            raise FolderError(f'name {number} of {path} is read as {type(name).__name__}: write it in quotation marks')
        names[number] = str(name)
    name, count = Counter(names.values()).most_common(1)[0]
    if count > 1:
        raise FolderError(f'names of {path} have {name} {count} times: give each class its own name')
    return dict(sorted(names.items()))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode('utf-8-sig').splitlines()
    except ValueError as error:
        raise FolderError(f'{path} is no text in UTF-8: save it as such') from error


def walk(folder: Path, depth: float = math.inf, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files; through links, but not back to where one came from.

    Args:
        folder: Where to begin.
        depth: How many folders deep.
        above: The folders, without links, that lead there.
    """
    real = folder.resolve()
    if real in above:
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
    except PermissionError:
        return
    yield folder, [name for name, is_folder in entries if not is_folder]
    for name, is_folder in entries:
        if is_folder and depth > 0:
            yield from walk(folder / name, depth - 1, (*above, real))


def _find(entry: str, root: Path) -> Path | None:
    """The folder or file of an entry.

    Roboflow writes ``../train/images`` for what lies below the root; beside the root there may be other data.
    """
    entry = entry.strip().replace('\\', '/')
    found = next((path for path in (root / entry.removeprefix('../'), root / entry) if path.exists()), None)
    return found and Path(os.path.normpath(found))


def _image_paths(entries: Sequence[str], root: Path, where: str) -> list[Path]:
    """All images of a split, each once."""
    found: dict[Path, None] = {}
    for entry in entries:
        path = _find(entry, root)
        if path is None:
            raise FolderError(f'{where} names {entry}, which is not below {root}: correct it')
        if path.is_dir():
            found |= dict.fromkeys(sorted(
                root / name for root, names in walk(path) for name in names
                if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith('.')))
        elif path.suffix.lower() == '.txt':
            found |= dict.fromkeys(_listed(path, root))
        else:
            raise FolderError(f'{where} names {entry}, which is neither a folder nor a .txt file: correct it')
    if lost := next((path for path in found if not path.exists()), None):
        raise FolderError(f'{lost} is a link to a file that is not there: mend it, or remove it and its labels')
    return list(found)


def _listed(path: Path, root: Path) -> Iterator[Path]:
    """The images of a list, relative to its folder or to the root; CVAT begins all names with ``data/``."""
    for number, line in enumerate(_lines(path), 1):
        if not (name := line.strip()):
            continue
        found = next((image for text in (name, name.removeprefix('data/')) for base in (path.parent, root)
                      if (image := _find(text, base))), None)
        if found is None or not found.is_file():
            raise FolderError(f'{path}, line {number}: {name} is not there: add the image, or remove the line')
        yield found


def _label_path(image: Path) -> Path:
    """Where YOLO has the labels of an image: the last ``images`` of its path is ``labels``."""
    parts = list(image.parts)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == 'images':
            parts[index] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def _label_paths(images: Sequence[Path]) -> dict[Path, Path | None]:
    """The label file of each image, which may also lie beside it; None without one."""
    found: dict[Path, Path | None] = {}
    owners: dict[Path, Path] = {}
    for image in images:
        label = next((path for path in (_label_path(image), image.with_suffix('.txt')) if path.is_file()), None)
        if label and owners.setdefault(label, image) is not image:
            raise FolderError(f'{owners[label]} and {image} share {label}: rename one, and give it labels of its own')
        found[image] = label
    return found


def _content(labels: Mapping[Path, Path | None], categories: list[dict[str, Any]], description: Path,
             needs_masks: bool) -> dict[str, Any]:
    names = {category['id']: category['name'] for category in categories}
    images, annotations = [], []
    for (path, label), facts in zip(labels.items(), in_threads(
            lambda path: read_facts(str(path), 'image'), labels), strict=True):
        width, height = (facts.height, facts.width) if facts.orientation > 4 else (facts.width, facts.height)
        image = dict(id=len(images), file_name=str(path), height=height, width=width)
        images.append(image)
        seen = set()
        for number, line in enumerate(_lines(label) if label else (), 1):
            if not (words := tuple(line.split())) or words in seen:  # one object, written twice
                continue
            seen.add(words)
            where = f'{label}, line {number}:'
            category, coordinates = _object(words, where, names, description)
            if needs_masks and len(coordinates) == _BOX:
                raise FolderError(f'{where} a box, and the config learns masks: write a polygon, remove the line, or '
                                  'take a config that detects boxes')
            annotations.append(dict(id=len(annotations) + 1, image_id=image['id'], category_id=category, iscrowd=0,
                                    **_shape(coordinates, image, where)))
    return dict(images=images, annotations=annotations, categories=categories)


def _object(words: Sequence[str], where: str, names: Mapping[int, str], description: Path
            ) -> tuple[int, list[float]]:
    """The class and the checked coordinates of a line."""
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            raise FolderError(f'{where} {word[:20]!r} is no number: correct the line') from None
    if not all(map(math.isfinite, numbers)):
        raise FolderError(f'{where} a number is not finite: correct the line, or remove it')
    number, *coordinates = numbers
    if number not in names:
        known = shorten([f'{key} {name}' for key, name in names.items()])
        raise FolderError(f'{where} class {number:g} is not among the names of {description} ({known}): correct it, or '
                          'add the name')
    if len(coordinates) != _BOX and (len(coordinates) < _POLYGON or len(coordinates) % 2):
        raise FolderError(f'{where} {len(numbers)} numbers: write the class and x y width height, or the class and '
                          'two for each of at least three points')
    if len(coordinates) == _BOX and min(coordinates[2:]) < 0:
        raise FolderError(f'{where} a side of the box is {min(coordinates[2:]):g}: write x y width height, or remove '
                          'the line')
    for value in coordinates:
        if not -_MARGIN <= value <= 1 + _MARGIN:
            raise FolderError(f'{where} {value:g} is not between 0 and 1: divide pixels by the width and height of the '
                              'image')
    return int(number), coordinates


def _shape(coordinates: Sequence[float], image: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The box of an object in pixels, cut at the borders of the image; its area; its polygon."""
    width, height = image['width'], image['height']
    if len(coordinates) == _BOX:
        x, y, across, down = coordinates
        box = inside([(x - across / 2) * width, (y - down / 2) * height, across * width, down * height], image)
        return dict(bbox=box, area=box[2] * box[3])
    polygon = [value * side for value, side in zip(coordinates, (width, height) * (len(coordinates) // 2), strict=True)]
    try:
        area = float(rle_tools.area(compressed([polygon], image)))
    except MaskError as error:
        raise FolderError(f'{where} the object {error}: correct the line, or remove it') from error
    return dict(bbox=mask_box([polygon], image), area=area, segmentation=[polygon])
