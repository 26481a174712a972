"""Folders of one's own for matting: images with opacities, or foregrounds with opacities and what they are laid on."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ...registry import DATASETS
from ..common.folders import IMAGE_SUFFIXES, FolderError, FolderFacts, FolderReader, nested, split_of
from ..common.paired_folders import Pair, first_folder, listed, pair_files, split_folders, with_validation
from .dataset import MattingDataset, pictures_in

# The second names are those of data sets that are published: Composition-1k, AM-2k, VideoMatte240K ...
IMAGE_FOLDERS = ('images', 'imgs', 'image', 'merged', 'original')
FOREGROUND_FOLDERS = ('foregrounds', 'foreground', 'fg', 'fgr')
BACKGROUND_FOLDERS = ('backgrounds', 'background', 'bg', 'bgr')
ALPHA_FOLDERS = ('alpha', 'alphas', 'alpha_copy', 'matte', 'mattes', 'pha')
TRIMAP_FOLDERS = ('trimaps', 'trimap')
_ALPHA_ENDS, _TRIMAP_ENDS = ('', '_alpha', '_matte'), ('', '_trimap')  # of names behind that of their image
_WIDTH = 15  # of the unknown where there are no trimaps and the config draws none, in pixels
_LAYOUT = ('images/ and alpha/ with files of the same names (and trimaps/, if there are), or foregrounds/, alpha/ and '
           'backgrounds/; train/ and val/ may be in each, or in the place of these')


class Part(NamedTuple):
    """A split of a folder.

    Attributes:
        pairs: Images or foregrounds with their opacities; one with transparency may be its own.
        trimaps: By the name of a pair; empty where there are none.
        backgrounds: The folder of what foregrounds are laid on; None of images.
    """
    pairs: list[Pair]
    trimaps: Mapping[str, Path]
    backgrounds: Path | None = None


@DATASETS.register_module()
class MattingFolderDataset(MattingDataset):
    """A split of the folder ``data_root``, as :class:`MattingFolder` divides it.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        options: Other arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, split: str, lazy_init: bool = False, **options: Any) -> None:
        self.split = split
        super().__init__(lazy_init=lazy_init, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One entry for each image of the split, as in :class:`MattingDataset`."""
        pairs, trimaps, _ = divided_parts(Path(self.data_root))[0].get(self.split, Part([], {}))
        return [dict(img_path=str(pair.image), alpha_path=str(pair.partner),
                     **(dict(trimap_path=str(trimaps[pair.name])) if trimaps else {})) for pair in pairs]


class MattingFolder(FolderReader):
    """``images/`` and ``alpha/``, or ``foregrounds/``, ``alpha/`` and ``backgrounds/``, and maybe ``trimaps/``.

    Foregrounds are composed by the pipeline, for validation always with the same background; images are not. PNG with
    transparency need no ``alpha/`` among foregrounds. Without trimaps, the unknown of validation is a band of the width
    that the config's training draws in the mean.
    """

    def read(self, folder: Path, dataset: Mapping[str, Any], scratch: Path) -> FolderFacts:
        parts, division = divided_parts(folder)
        width, notes = _usual_width(dataset), []
        evaluated = [part for split, part in parts.items() if split != 'train']
        if not all(part.trimaps for part in evaluated):
            notes.append(f'there are no trimaps/ to validate with: what is partly transparent and {width:g} pixels '
                         'around it are unknown')
        if parts['train'].trimaps:
            notes.append('every other time a trimap of training is drawn anew (RandomTrimap.keep)')
        datasets = {split: dict(
            type='densevit.MattingFolderDataset', data_root=str(folder), split=split, trimap_width=width,
            backgrounds=part.backgrounds and str(part.backgrounds)) for split, part in parts.items()}
        return FolderFacts(_layout(parts), datasets, {split: len(part.pairs) for split, part in parts.items()},
                           division, notes=notes)

    def dataset(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """That of the folder, with a pipeline that composes, or does not, and has trimaps."""
        kept = {key: old[key] for key in ('test_mode', 'serialize_data', 'max_refetch') if key in old}
        own = {key: value for key, value in new.items() if key not in ('backgrounds', 'trimap_width')}
        transforms = list(old.get('pipeline') or ())
        if old.get('test_mode'):  # trimaps and backgrounds of which nothing is left to chance
            transforms = [each for each in transforms if _name(each) != 'RandomTrimap']
        transforms = _composing(_reading(transforms, new['backgrounds'] is not None), new['backgrounds'],
                                seed=0 if old.get('test_mode') else None)
        return kept | own | dict(pipeline=_with_trimaps(transforms, new['trimap_width']))


READERS = {name: MattingFolder() for name in ('densevit.MattingDataset', 'densevit.Photographs')}


def divided_parts(folder: Path) -> tuple[dict[str, Part], str]:
    """The splits of a folder, and where they come from.

    Raises:
        FolderError: The folder is of no known layout, or a file has no partner.
    """
    parts = _parts(folder)
    if None in parts:
        pairs, division = listed(parts[None].pairs, folder)
    else:
        pairs, division = {split: part.pairs for split, part in parts.items()}, 'in folders of their own'
    pairs, division = with_validation(pairs, folder, division)
    whole = parts.get(None) or parts.get('train')
    return {split: parts.get(split, whole)._replace(pairs=each) for split, each in pairs.items()}, division


def _parts(folder: Path) -> dict[str | None, Part]:
    """By split; under None where nothing divides them."""
    places = (split_folders(folder, FOREGROUND_FOLDERS, FOREGROUND_FOLDERS, 'opacity')
              | split_folders(folder, FOREGROUND_FOLDERS, ALPHA_FOLDERS, 'opacity')
              | split_folders(folder, IMAGE_FOLDERS, ALPHA_FOLDERS, 'opacity'))
    if not places:
        raise FolderError(f'{folder} holds no opacities in {_LAYOUT}: it has '
                          f'{", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"}')
    if None in places and len(places) > 1:
        places.setdefault('train', places.pop(None))
    return {split: _part(folder, *place) for split, place in places.items()}


def _part(folder: Path, images: Path, alphas: Path) -> Part:
    pairs = pair_files(images, alphas, IMAGE_SUFFIXES, _ALPHA_ENDS if images != alphas else ('', ), 'opacity')
    if images == alphas:
        for pair in pairs:
            _require_transparency(pair.image, images.parent / ALPHA_FOLDERS[0])
    trimaps = _beside(images, folder, TRIMAP_FOLDERS)
    drawn = {pair.name: pair.partner for pair in pair_files(images, trimaps, IMAGE_SUFFIXES, _TRIMAP_ENDS, 'trimap')
             } if trimaps else {}
    if not {*images.relative_to(folder).parts} & {*FOREGROUND_FOLDERS}:
        return Part(pairs, drawn)
    backgrounds = _beside(images, folder, BACKGROUND_FOLDERS) or first_folder(folder, BACKGROUND_FOLDERS)
    if backgrounds is None or not pictures_in(backgrounds):
        wanted = backgrounds or (images.parent if images.name in FOREGROUND_FOLDERS else folder) / BACKGROUND_FOLDERS[0]
        raise FolderError(f'{images} has foregrounds, and there is nothing to lay them on: put pictures without such '
                          f'objects into {wanted}; pictures that are to stay as they are belong into images/')
    return Part(pairs, drawn, backgrounds)


def _beside(images: Path, folder: Path, names: Sequence[str]) -> Path | None:
    """A folder that goes with one of images: of the same split where it is divided, else of all; None without one."""
    found = first_folder(images.parent, names) or first_folder(folder, names)
    split = next(filter(None, map(split_of, images.relative_to(folder).parts)), None)
    splits = {split_of(path.name): path for path in found.iterdir() if path.is_dir()} if found else {}
    return splits.get(split) if split and any(splits) else found


def _require_transparency(path: Path, alphas: Path) -> None:
    try:
        with Image.open(path) as image:
            if image.has_transparency_data:
                return
    except Exception as error:  # of Pillow's many decoders
        raise FolderError(f'{path} cannot be read as a picture ({error}): write it anew, or remove it') from error
    raise FolderError(f'{path} has no transparency: save it as PNG with some, or put its opacity into {alphas}, as '
                      'those of all foregrounds')


def _layout(parts: Mapping[str, Part]) -> str:
    """What the splits hold, in a few words."""
    def kind(part: Part) -> str:
        if part.backgrounds is None:
            return 'images with opacities'
        return f'foregrounds with opacities, on {len(pictures_in(part.backgrounds))} backgrounds'
    kinds = {split: kind(part) for split, part in parts.items()}
    if len({*kinds.values()}) == 1:
        return kinds['train']
    return '; '.join(f'{split}: {what}' for split, what in kinds.items())


def _usual_width(dataset: Mapping[str, Any]) -> float:
    """The mean width of the trimaps that the config's training draws."""
    widths = []
    for transform in _flat(dataset.get('pipeline') or ()):
        if _name(transform) == 'RandomTrimap':
            widths.append(sum(transform.get('width', (1, 2 * _WIDTH - 1))) / 2)
    return round(widths[0]) if widths else _WIDTH


def _reading(transforms: list[Any], are_foregrounds: bool) -> list[Any]:
    """A pipeline that reads files of the folder, also that of a config whose opacities are rendered."""
    def change(transform: dict[str, Any]) -> dict[str, Any]:
        if _name(transform) in ('LoadImage', 'LoadForeground'):
            return dict(type='densevit.LoadForeground' if are_foregrounds else 'densevit.LoadImage')
        return dict(type='densevit.LoadAlpha') if _name(transform) == 'RenderForeground' else transform
    return nested(transforms, change)


def _composing(transforms: list[Any], backgrounds: str | None, seed: int | None) -> list[Any]:
    """A pipeline that lays foregrounds on backgrounds, or takes images as they are.

    Raises:
        FolderError: There is no place in it at which the opacity is known.
    """
    if backgrounds is None:
        return [each for each in transforms if _name(each) not in ('JoinForegrounds', 'ComposeForeground')]
    transforms = nested(transforms, lambda each: dict(each, backgrounds=backgrounds, seed=seed)
                        if _name(each) == 'ComposeForeground' else each)
    if all(_name(each) != 'ComposeForeground' for each in _flat(transforms)):
        places = [index for index, each in enumerate(transforms) if _name(each) in ('LoadAlpha', 'MattingCrop')]
        if not places:
            raise FolderError("the pipeline of the config loads no opacity: add dict(type='densevit.LoadAlpha') behind "
                              'LoadImage')
        composed = dict(type='densevit.ComposeForeground', backgrounds=backgrounds, seed=seed)
        transforms.insert(places[-1] + 1, composed)
    return transforms


def _with_trimaps(transforms: list[Any], width: float) -> list[Any]:
    """A pipeline in which trimaps are made of opacities where there are no files, unless it draws them."""
    if any(_name(each) == 'RandomTrimap' for each in _flat(transforms)):
        return transforms
    return nested(transforms, lambda each: {'trimap_width': width} | each if _name(each) == 'LoadAlpha' else each)


def _name(transform: Any) -> str:
    kind = transform.get('type') if isinstance(transform, Mapping) else transform  # configs may hold the class
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')


def _flat(transforms: Sequence[Any]) -> list[dict[str, Any]]:
    """All transforms of a pipeline, those within others, too."""
    found: list[dict[str, Any]] = []
    nested(list(transforms), lambda each: found.append(each) or each)
    return found
