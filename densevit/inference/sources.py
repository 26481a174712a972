"""Which pictures a command means, and where the result of each belongs."""
from __future__ import annotations

import glob
import importlib.util
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from ..errors import printable
from ..images import ImageError, heif, local_path
from .files import OutputError, output_file

_SAMPLE = 'data/chelsea.png'  # one of the few photographs that are inside scikit-image's wheel: a cat

# Pillow lists these too, but a folder of pictures does not mean them: documents, videos, scientific containers.
_NOT_PICTURES = {'.pdf', '.ps', '.eps', '.mpg', '.mpeg', '.h5', '.hdf', '.grib', '.bufr', '.fit', '.fits'}


_MAX_NAMES = 3  # of skipped files that are named


class SourceError(ValueError):
    """An input that names no picture; the message is one line and says what to do about it."""


def find_images(sources: Iterable[str | os.PathLike]) -> list[Path]:
    """Files, folders, globs (``**`` descends) and ``file://`` URLs to picture files, each once, in the order given.

    A folder stands for the files in it, not below it; of a folder or a glob only files with a picture's suffix are
    taken. A plain path is returned even
    if nothing is there: reading it says why.

    Raises:
        SourceError: A folder or a glob without a picture, or a URL that is not local.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        for path in _expand(source):
            found.setdefault(_resolved(path), path)
    return list(found.values())


def skipped_files(sources: Iterable[str | os.PathLike]) -> str | None:
    """A line about the files in the given folders that are not taken for pictures, by suffix; hidden ones aside."""
    folders = dict.fromkeys(path for path in map(_local, sources) if os.path.isdir(path))
    files = [entry for folder in folders for entry in sorted(folder.iterdir()) if not entry.name.startswith('.')
             and os.path.isfile(entry) and not looks_like_picture(entry)]
    if not files:
        return None
    groups = []
    for suffix, count in Counter(file.suffix.lower() for file in files).most_common():
        names = [printable(file.name)[:60] for file in files if file.suffix.lower() == suffix][:_MAX_NAMES + 1]
        names = names if len(names) <= _MAX_NAMES else [*names[:_MAX_NAMES], '...']
        remedy = f'; to read them run: {heif.INSTALL}' if suffix in heif.SUFFIXES else ''
        groups.append(f'{count} {printable(suffix)[:20] or "without a suffix"} ({", ".join(names)}{remedy})')
    return f'skipped, no pictures by their names: {", ".join(groups)}'


def sample_image() -> Path:
    """A photograph that is installed with scikit-image.

    Raises:
        SourceError: The package scikit-image is missing or came without it.
    """
    package = importlib.util.find_spec('skimage')
    path = Path(package.origin).parent / _SAMPLE if package is not None and package.origin else None
    if path is None or not path.is_file():
        raise SourceError('no picture given, and scikit-image with its sample photographs is not installed; '
                          'name a picture or run: pip install scikit-image')
    return path


def plan_outputs(images: Iterable[Path], folder: Path, suffixes: Iterable[str] = ()) -> dict[Path, Path]:
    """The output file of each picture: its own name in ``folder``; pictures of the same name get subfolders.

    ``a/1.png`` and ``b/1.png`` go to ``folder/a/1.png`` and ``folder/b/1.png``.

    Args:
        suffixes: What names of further files of a result add to the picture's, as in `Artifact`: a picture whose
            result would have the name of another's file gets a number, ``1.png.restored_2.png``.

    Raises:
        OutputError: A result would replace one of the pictures.
    """
    suffixes = tuple(suffixes)
    images = list(images)
    same_name = defaultdict(list)
    for image in images:
        # Case is ignored, as some file systems do.
        same_name[output_file(image.name, None).name.casefold()].append(image)
    outputs = {}
    for group in same_name.values():
        root = Path(os.path.commonpath([_resolved(image).parent for image in group])) if len(group) > 1 else None
        for image in group:
            subfolder = _resolved(image).parent.relative_to(root) if root else Path()
            outputs[image] = output_file(folder / subfolder / image.name, None)
    _make_distinct(outputs, suffixes)
    inputs, resolved_folder = {str(_resolved(image)) for image in images}, cache(_resolved)
    for image, output in outputs.items():
        files = _files_of(str(resolved_folder(output.parent) / output.name), suffixes)
        for file in (str(_resolved(output)), *files):
            if file in inputs:
                raise OutputError(f'{printable(file)}: the result of {printable(image)} would replace a picture; '
                                  'choose another --out folder')
    return {image: outputs[image] for image in images}


def _expand(source: str | os.PathLike) -> list[Path]:
    path, name = _local(source), printable(source)
    # A file may be called 'a[1].png': what exists is meant literally.
    if not os.path.lexists(path) and glob.has_magic(str(path)):
        images = sorted(filter(looks_like_picture, map(Path, glob.glob(str(path), recursive=True))))
        if not images:
            raise SourceError(f'{name}: no picture matches; check the pattern')
        return images
    if os.path.isdir(path):
        images = sorted(entry for entry in path.iterdir() if looks_like_picture(entry))
        if not images:
            skipped = skipped_files([path])
            raise SourceError(f'{name}: no pictures in this folder{skipped and f" ({skipped})" or ""}; name files, or '
                              f'give a pattern such as "{name}/**/*.jpg" for the folders below')
        return images
    return [path]


def _local(source: str | os.PathLike) -> Path:
    try:
        return local_path(source)
    except ImageError as error:
        raise SourceError(str(error)) from error


def _resolved(path: Path) -> Path:
    """As ``path.resolve()``, which raises for links in a circle."""
    return Path(os.path.realpath(path))


def looks_like_picture(path: Path) -> bool:
    """Whether a file is one of those that are meant by a folder of pictures."""
    return not path.name.startswith('.') and path.suffix.lower() in _picture_suffixes() and os.path.isfile(path)


@cache
def _picture_suffixes() -> frozenset[str]:
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return frozenset(readable - _NOT_PICTURES - heif.SUFFIXES | (heif.SUFFIXES if heif.has_heif() else set()))


def _make_distinct(outputs: dict[Path, Path], suffixes: Sequence[str]) -> None:
    """Names in one folder may still meet, as 'a.gif' and 'a.gif.png' do: number the later ones."""
    folders = {output.parent for output in outputs.values()}
    taken = {str(folder).casefold() for parent in folders for folder in (parent, *parent.parents)}
    for image, output in outputs.items():
        candidate, number = output, 2
        while taken & (files := {file.casefold() for file in _files_of(str(candidate), suffixes)}):
            candidate = output_file(output.with_stem(f'{output.stem}_{number}'), None)
            number += 1
        taken |= files
        outputs[image] = candidate


def _files_of(output: str, suffixes: Iterable[str]) -> list[str]:
    """The picture of a result and what may stand beside it, of a folder the folder."""
    return [output + suffix.partition('/')[0] for suffix in ('', *suffixes)]
