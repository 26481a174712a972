"""Folders of images with a file for each: its mask, its depth ..."""
from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from .folders import HASHED, IMAGE_SUFFIXES, SPLIT_NAMES, FolderError, divide

# Formats of pictures that are not read from folders, by their suffixes.
_OTHER_PICTURES = ('.avif', '.gif', '.heic', '.heif', '.jfif', '.jp2', '.jpe', '.jxl', '.pgm', '.ppm', '.tga')


class Pair(NamedTuple):
    """An image and the file that belongs to it.

    Attributes:
        name: What both are called: the path below their folders without the suffix.
        image: The image.
        partner: Its mask or depth.
    """
    name: str
    image: Path
    partner: Path


class Named(Protocol):
    """What is divided into splits by its name."""
    name: str


Sample = TypeVar('Sample', bound=Named)
Parts = dict[str | None, tuple[Path, Path]]


def split_folders(folder: Path, images: Sequence[str], partners: Sequence[str], what: str) -> Parts:
    """The folders of images and of what belongs to them, by split; under None for one that is not divided.

    Splits lie below the two folders (``images/train``) or above them (``train/images``).

    Args:
        folder: Where to look.
        images: Names that the folder of images may have.
        partners: Names that the other folder may have.
        what: What belongs to an image, for messages: ``'mask'``.

    Returns:
        Nothing where there are no such folders.

    Raises:
        FolderError: A split has images alone.
    """
    found: Parts = {}
    above = first_folder(folder, images), first_folder(folder, partners)
    for split, names in SPLIT_NAMES.items():
        for name in names:
            inside = first_folder(folder / name, images), first_folder(folder / name, partners)
            if all(inside):
                found[split] = inside
            elif all(above) and (above[0] / name).is_dir():
                if not (above[1] / name).is_dir():
                    raise FolderError(f'{above[0] / name} has no {what} for its images: put them into '
                                      f'{above[1] / name}')
                found[split] = above[0] / name, above[1] / name
    return found or ({None: above} if all(above) else {})


def first_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of these names that is a folder there."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def pair_files(images: Path, partners: Path, suffixes: Sequence[str], ends: Sequence[str], what: str) -> list[Pair]:
    """Each image of a folder with the file of its name in another.

    Args:
        images: The folder of images.
        partners: The folder of what belongs to them.
        suffixes: Those that a partner may have.
        ends: What may stand behind the image's name in its partner's: ``('', '_mask')``.
        what: What belongs to an image, for messages: ``'mask'``.

    Raises:
        FolderError: There is no image, an image has no partner, or two files have one name.
    """
    pictures, others = files_by_name(images, IMAGE_SUFFIXES, what), files_by_name(partners, suffixes, what)
    if not pictures:
        raise FolderError(f'{images} has no picture ({", ".join(IMAGE_SUFFIXES)}): put some into it')
    pairs, without = [], []
    for name, picture in pictures.items():
        partner = next((others[f'{name}{end}'] for end in ends if f'{name}{end}' in others), None)
        pairs.append(Pair(name, picture, partner)) if partner else without.append(picture)
    if without:
        more = f' and {len(without) - 1} more images have' if len(without) > 1 else ' has'
        raise FolderError(f'{without[0]}{more} no {what} in {partners}: add a file of the same name '
                          f'({", ".join(suffixes)}), or move images without {what} to another folder')
    return pairs


def files_by_name(folder: Path, suffixes: Sequence[str], what: str) -> dict[str, Path]:
    """Files by their path below the folder without the suffix, in its order.

    Args:
        folder: Where they lie.
        suffixes: Those that they may have.
        what: What is found by the name of an image, for messages: ``'mask'``.

    Raises:
        FolderError: Two files have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() in suffixes and not path.name.startswith('.'):
            name = path.relative_to(folder).with_suffix('').as_posix()
            if name in found:
                raise FolderError(f'{found[name]} and {path} have one name, by which the {what} of an image is found: '
                                  'rename one')
            found[name] = path
    return found


def left_out(folder: Path) -> list[str]:
    """A note about pictures below a folder that are not read for their format; none where there are none."""
    found = Counter(path.suffix.lower() for path in folder.rglob('*')
                    if path.suffix.lower() in _OTHER_PICTURES and not path.name.startswith('.'))
    if not found:
        return []
    counts = ', '.join(f'{count} {suffix}' for suffix, count in found.most_common())
    return [f'pictures of other formats are left out ({counts}): save them as PNG or JPEG to have them read']


def listed(pairs: Sequence[Pair], folder: Path) -> tuple[dict[str, list[Pair]], str]:
    """Pairs as ``train.txt``, ``val.txt`` and ``test.txt`` divide them; without the first the rest is for training.

    A line is the path of an image below the folder of images, with or without its suffix, or the name of its file where
    no other has it.

    Returns:
        The pairs by split, and where the split comes from, and how many images are in two of them; nothing is said
        where there are no lists.

    Raises:
        FolderError: A list names what is no image of the folder, or what several are called.
    """
    lists = {split: path for split, names in SPLIT_NAMES.items() for name in names
             if (path := folder / f'{name}.txt').is_file()}
    if not lists:
        return dict(train=list(pairs)), ''
    by_name: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_name[pair.image.name].append(pair)
    by_name |= {name: [pair] for pair in pairs for name in (pair.name, f'{pair.name}{pair.image.suffix}')}
    found: dict[str, list[Pair]] = {}
    for split, path in lists.items():
        names = list(filter(None, map(str.strip, path.read_text('utf-8', 'surrogateescape').splitlines())))
        if absent := [name for name in names if name not in by_name]:
            raise FolderError(f'{path} names {absent[0]}, which is no image of {folder}: add it, or remove the line')
        if unclear := [name for name in names if len(by_name[name]) > 1]:
            images = [pair.image.relative_to(folder) for pair in by_name[unclear[0]]]
            raise FolderError(f'{path} names {unclear[0]}, as {images[0]} and {images[1]} are called: write '
                              f'{by_name[unclear[0]][0].name} or {by_name[unclear[0]][1].name}')
        found[split] = [by_name[name][0] for name in names]
    if 'train' not in found:
        taken = {pair.name for each in found.values() for pair in each}
        found['train'] = [pair for pair in pairs if pair.name not in taken]
    said = [f'as {", ".join(path.name for path in lists.values())} say']
    for one, other in combinations(lists, 2):
        if common := {pair.name for pair in found[one]} & {pair.name for pair in found[other]}:
            said.append(f'images in both {lists[one].name} and {lists[other].name}: {len(common)}')
    return found, '; '.join(said)


def with_validation(
    samples: Mapping[str, list[Sample]],
    folder: Path,
    division: str,
) -> tuple[dict[str, list[Sample]], str]:
    """Splits of which one is for training and one for validation: a tenth where the folder has none.

    Args:
        samples: By split.
        folder: Where they are from.
        division: Where the split comes from; empty where nothing divides them.

    Returns:
        The samples by split, and where the split comes from.

    Raises:
        FolderError: There is nothing to learn from, or a split is empty.
    """
    samples = dict(samples)
    if 'train' not in samples:
        raise FolderError(f'{folder} has images for {", ".join(samples)}, and none to learn from: name their folder '
                          'train')
    if 'val' not in samples:
        train = {sample.name: sample for sample in samples['train']}
        for split, names in zip(('train', 'val'), divide(list(train), folder), strict=True):
            samples[split] = [train[name] for name in names]
        division = f'{division}; {HASHED}' if division else HASHED
    if empty := [split for split, each in samples.items() if not each]:
        raise FolderError(f'{folder} has no image for {empty[0]}: add some, or remove what names this split')
    return {split: samples[split] for split in SPLIT_NAMES if split in samples}, division
