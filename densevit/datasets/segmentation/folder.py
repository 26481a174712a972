"""Folders of one's own for semantic segmentation: images with masks."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from PIL import Image

from ...registry import DATASETS, TRANSFORMS
from ..common.file_facts import Facts, FactsMemory, UnreadableFileError, in_threads
from ..common.folders import FolderError, FolderFacts, FolderReader, nested
from ..common.paired_folders import Pair, left_out, listed, pair_files, split_folders, with_validation

IMAGE_FOLDERS, MASK_FOLDERS = ('images', 'imgs', 'JPEGImages'), ('masks', 'labels', 'annotations', 'SegmentationClass')
_MASKS = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff')
_MASK_ENDS = ('', '_mask', '_label')  # of a mask's name behind that of its image
_ONE_NUMBER = ('1', 'L', 'P', 'I')  # Pillow's modes of one number a pixel, without what follows a semicolon
VOID = 255
_FEW = 64  # colours that a person has chosen; more are the work of a compression or of an interpolation
_LAYOUT = ('images/ and masks/ with PNG files of the same names (or train/ and val/ in each, or in the place of '
           'images/ and masks/)')


class Meaning(NamedTuple):
    """What the values or the colours of masks stand for.

    Attributes:
        values: By label, the value of a mask of one number a pixel; None where a value is its label.
        colors: By label, the colour of a mask in colour; empty for masks of numbers.
        classes, palette: By label, names and RGB colours; no palette where the folder has none.
        notes: What was presumed.
    """
    values: tuple[int, ...] | None
    colors: tuple[tuple[int, int, int], ...]
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    notes: tuple[str, ...]


@DATASETS.register_module()
class MaskFolderDataset(BaseSegDataset):
    """Images with masks of a folder that :class:`MaskFolder` reads: ``data_root``.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        values: By label, the value that masks have; a value is its label when omitted.
        options: Other arguments of ``mmseg.BaseSegDataset``; ``metainfo`` has the classes.
    """

    def __init__(self, split: str, values: Sequence[int] | None = None, lazy_init: bool = False, **options: Any
                 ) -> None:
        self.split = split
        super().__init__(img_suffix='', reduce_zero_label=False, lazy_init=True, **options)
        self.label_map = {value: label for label, value in enumerate(values)} if values else None
        self._metainfo['label_map'] = self.label_map
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each image of the split."""
        pairs, _ = find_pairs(Path(self.data_root))
        return [dict(img_path=str(pair.image), seg_map_path=str(pair.partner), label_map=self.label_map,
                     reduce_zero_label=False, seg_fields=[]) for pair in pairs.get(self.split, ())]

    def _update_palette(self) -> list[list[int]]:
        """No colours of chance: what shows results chooses better ones."""
        return list(self._metainfo.get('palette') or ())


@TRANSFORMS.register_module()
class LoadColorLabels(BaseTransform):
    """Reads a mask in colour as labels.

    Args:
        colors: By label, the RGB colour. Pixels of another colour are void, 255.

    Required keys: ``seg_map_path``, ``seg_fields``.

    Added keys: ``gt_seg_map`` (H, W) uint8.
    """

    def __init__(self, colors: Sequence[Sequence[int]]) -> None:
        self.colors = [tuple(color) for color in colors]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        with Image.open(results['seg_map_path']) as image:
            ids = np.asarray(image.convert('RGB')).astype(np.int32) @ np.array([1, 256, 256**2], np.int32)
        labels = np.full(ids.shape, VOID, np.uint8)
        for label, color in enumerate(self.colors):
            labels[ids == _id(color)] = label
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(colors={self.colors})'


class MaskFolder(FolderReader):
    """Images and masks of semantic segmentation.

    Masks are PNG files of class ids, with a palette or without, where 255 is void; of two values, 0 and 255, for
    background and foreground; or in the colours that ``classes.json`` names. ``classes.txt`` has a name a line for the
    ids from 0 on; ``classes.json`` a list of names, ``{"name": id}``, or a list of ``{"name": ..., "id": ..., "color":
    [R, G, B]}``. Without them classes are named after their ids.
    """

    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        pairs, division = find_pairs(folder)
        every = [pair.partner for split in pairs.values() for pair in split]
        memory = FactsMemory(scratch.parent / 'data_check.json')
        facts = dict(zip(every, in_threads(lambda path: _facts(path, memory), every), strict=True))
        meaning = _meaning(folder, facts)
        memory.save()
        options: dict[str, Any] = dict(
            type='densevit.MaskFolderDataset', data_root=str(folder), metainfo=dict(classes=meaning.classes))
        if meaning.palette:
            options['metainfo']['palette'] = [list(color) for color in meaning.palette]
        if meaning.values:
            options['values'] = list(meaning.values)
        return FolderFacts(
            'images and masks', {split: dict(options, split=split) for split in pairs},
            {split: len(each) for split, each in pairs.items()}, division, meaning.classes, meaning.palette,
            [*meaning.notes, *left_out(folder)], loading=dict(colors=[list(color) for color in meaning.colors]))

    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        return {key: old[key] for key in ('pipeline', 'test_mode', 'serialize_data', 'max_refetch') if key in old} | new

    def pipeline(self, transforms: list[Any], facts: FolderFacts) -> list[Any]:
        def change(transform: dict[str, Any]) -> dict[str, Any]:
            if str(transform['type']).rpartition('.')[2] != 'LoadAnnotations':
                return transform
            if facts.loading['colors']:
                return dict(type='densevit.LoadColorLabels', colors=facts.loading['colors'])
            return {key: value for key, value in transform.items() if key != 'reduce_zero_label'}
        return nested(transforms, change)

    def evaluator(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        if old['type'].rpartition('.')[2] == 'IoUMetric':
            return dict(old)
        return dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])


READERS = {'mmseg.BaseSegDataset': MaskFolder()}


def find_pairs(folder: Path) -> tuple[dict[str, list[Pair]], str]:
    """Images with their masks by split, and where the split comes from.

    Raises:
        FolderError: There are no such folders, an image has no mask, or there are two images of one name.
    """
    parts = split_folders(folder, IMAGE_FOLDERS, MASK_FOLDERS, 'mask')
    if not parts:
        coco = any(folder.rglob('*.json'))
        remedy = "; COCO's JSON files are for configs of instances, such as eomt_tiny_nuclei" if coco else ''
        raise FolderError(f'{folder} holds no data for semantic segmentation in {_LAYOUT}: it has '
                          f'{", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"}{remedy}')
    pairs = {split: pair_files(*part, _MASKS, _MASK_ENDS, 'mask') for split, part in parts.items()}
    if None in pairs:
        pairs, division = listed(pairs[None], folder)
        return with_validation(pairs, folder, division)
    places = ', '.join(part[0].relative_to(folder).as_posix() for part in parts.values())
    return with_validation(pairs, folder, f'in folders of their own ({places})')


def _facts(path: Path, memory: FactsMemory) -> Facts:
    try:
        facts = memory.facts(str(path), 'labels')
        if facts.format in ('JPEG', 'MPO'):
            raise FolderError(f'{path} is a JPEG, whose compression changes labels at the edges: save masks as PNG')
        return facts if facts.mode.partition(';')[0] in _ONE_NUMBER else memory.facts(str(path), 'segments')
    except UnreadableFileError as error:
        raise FolderError(str(error)) from error


def _meaning(folder: Path, facts: Mapping[Path, Facts]) -> Meaning:
    names = _class_names(folder)
    coloured = {path: each for path, each in facts.items() if each.mode.partition(';')[0] not in _ONE_NUMBER}
    if not coloured:
        return _of_numbers(folder, facts, names)
    if numbers := [path for path in facts if path not in coloured]:
        raise FolderError(f'{next(iter(coloured))} is a picture in colour and {numbers[0]} holds one number a pixel: '
                          'save all masks in one way')
    return _of_colours(folder, coloured, names)


class _Class(NamedTuple):
    """An entry of classes.txt or classes.json; without a name its pixels are void."""
    name: str | None
    value: int
    color: tuple[int, int, int] | None = None


def _class_names(folder: Path) -> tuple[Path, list[_Class]] | None:
    """The file that names the classes and what it says; None if there is none."""
    text, data = folder / 'classes.txt', folder / 'classes.json'
    if data.is_file():
        try:
            return data, _json_classes(json.loads(data.read_text(encoding='utf-8')))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            form = '["first", "second"], or [{"name": "first", "id": 0, "color": [0, 0, 0]}, ...]'
            raise FolderError(f'{data} cannot be read as names of classes ({type(error).__name__}: {error}): write '
                              f'{form}') from error
    if text.is_file():
        lines = [line.strip() for line in text.read_text(encoding='utf-8').splitlines()]
        return text, [_Class(name, value) for value, name in enumerate(filter(None, lines))]
    return None


def _json_classes(content: Any) -> list[_Class]:
    if isinstance(content, dict):
        content = content.get('classes', content)
    if isinstance(content, dict):
        by_value = all(str(key).isdecimal() for key in content)
        return [_Class(str(value), int(key)) if by_value else _Class(str(key), int(value))
                for key, value in content.items()]
    found = []
    for place, each in enumerate(content):
        entry = each if isinstance(each, dict) else dict(name=each)
        color = entry.get('color')
        if color is not None and (len(color) != 3 or not all(0 <= int(part) <= 255 for part in color)):
            raise ValueError(f'{color} is no colour [R, G, B]')
        found.append(_Class(entry['name'], int(entry.get('id', place)), color and tuple(map(int, color))))
    return found


def _of_numbers(folder: Path, facts: Mapping[Path, Facts], names: tuple[Path, list[_Class]] | None) -> Meaning:
    values = sorted({value for each in facts.values() for value in each.values or ()})
    if wrong := [value for value in values if value != int(value) or not 0 <= value <= VOID]:
        path = next(path for path, each in facts.items() if wrong[0] in each.values)
        raise FolderError(f'{path} holds {wrong[0]:g}, and masks are read in 8 bits: number the classes from 0 to 254 '
                          'and save an 8-bit PNG')
    values, notes = [int(value) for value in values], []
    classes = names[1] if names else []
    if values == [0, VOID] and len(classes) <= 2:
        ids = [0, VOID]
        titles = [each.name for each in classes] or ['foreground']
        titles = ['background'] * (2 - len(titles)) + titles
        notes.append(f'masks hold 0 and 255: 0 is read as {titles[0]}, 255 as {titles[1]}')
        return Meaning((0, VOID), (), tuple(titles), _colours(folder, facts, classes, ids), tuple(notes))
    if VOID in values and VOID not in [each.value for each in classes]:
        values.remove(VOID)
        notes.append('pixels of value 255 belong to no class')
    if names:
        known = {each.value: each for each in classes}
        if unknown := [value for value in values if value not in known]:
            path = next(path for path, each in facts.items() if unknown[0] in each.values)
            raise FolderError(f'{path} holds {unknown[0]}, which {names[0]} does not name (it has '
                              f'{", ".join(f"{value} {each.name}" for value, each in list(known.items())[:6])}): add '
                              'its name, the first line being that of 0, or correct the mask')
        ids = sorted(value for value, each in known.items() if each.name)
        titles = [str(known[value].name) for value in ids]
    else:
        ids, titles = values, [f'class {value}' for value in values]
        notes.append(f'names of the classes are not known: write them into {folder / "classes.txt"}, one a line, the '
                     'first for 0')
    if len(ids) < 2:
        raise FolderError(f'the masks of {folder} hold only {", ".join(map(str, values)) or "255, which is void"}, and '
                          'two classes are needed: write an id for each class, that of the background too')
    return Meaning(None if ids == list(range(len(ids))) else tuple(ids), (), tuple(titles),
                   _colours(folder, facts, classes, ids), tuple(notes))


def _of_colours(folder: Path, facts: Mapping[Path, Facts], names: tuple[Path, list[_Class]] | None) -> Meaning:
    found = sorted({int(id_) for each in facts.values() for id_ in each.values or ()})
    colors = [(id_ & 255, id_ >> 8 & 255, id_ >> 16) for id_ in found]
    first = next(iter(facts))
    known = [each for each in names[1] if each.color] if names else []
    if known:
        if unknown := [color for color in colors if color not in [each.color for each in known]]:
            path, color = next(path for path, each in facts.items() if _id(unknown[0]) in each.values), [*unknown[0]]
            raise FolderError(f'{path} has pixels of the colour {color}, which {names[0]} does not name: add '
                              f'{{"name": "...", "color": {color}}}, or "name": null for pixels of no class')
        named = [each for each in known if each.name]
        return Meaning(None, tuple(each.color for each in named), tuple(each.name for each in named),
                       tuple(each.color for each in named), ())
    if all(red == green == blue for red, green, blue in colors):
        meaning = _of_numbers(folder, {path: each._replace(values=sorted({value & 255 for value in each.values}))
                                       for path, each in facts.items()}, names)
        ids = meaning.values or range(len(meaning.classes))
        return meaning._replace(values=None, colors=tuple((value, ) * 3 for value in ids), palette=())
    if len(colors) > _FEW:
        raise FolderError(f'{first} is a picture of {len(facts[first].values)} colours, and a mask has one value for '
                          "each class: save masks as PNG of class ids, without compression or interpolation (nearest "
                          'neighbour)')
    wanted = json.dumps([dict(name=f'class {label}', color=list(color)) for label, color in enumerate(colors)])
    raise FolderError(f'{first} is a picture in colour, and nothing says what its colours mean: write '
                      f'{folder / "classes.json"} with {wanted}')


def _colours(folder: Path, facts: Mapping[Path, Facts], classes: Sequence[_Class], ids: Sequence[int]
             ) -> tuple[tuple[int, int, int], ...]:
    """Colours of values: those of classes.json, else of the first mask with a palette that is no scale of greys."""
    given = {each.value: each.color for each in classes if each.color}
    if all(value in given for value in ids):
        return tuple(given[value] for value in ids)
    path = next((path for path, each in facts.items() if each.mode == 'P'), None)
    if path is None:
        return ()
    with Image.open(path) as image:
        flat = image.getpalette() or []
    palette = {value: tuple(flat[3 * value:3 * value + 3]) for value in ids if 3 * value + 3 <= len(flat)}
    distinct = len(set(palette.values())) == len(ids) and any(len(set(color)) > 1 for color in palette.values())
    return tuple(palette[value] for value in ids) if len(palette) == len(ids) and distinct else ()


def _id(color: Sequence[int]) -> int:
    return color[0] + 256 * color[1] + 256**2 * color[2]
