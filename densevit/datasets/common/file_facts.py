"""What a picture's file says about itself: size, orientation, values of a label map; remembered between runs."""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from ...files import write_atomic
from ...images.missing import missing_share

Kind = Literal['image', 'labels', 'segments']
_ORIENTATION = 0x0112  # the tag of EXIF
_BYTES = ('1', 'L', 'P')  # Pillow's modes of one byte a pixel
_NUMBERS = ('I', 'F')  # and of one number of more bits: I;16, I;16B, I, F
_MAX_COLOURS = 1 << 16
_VERSION = 1  # of the remembered form


class Facts(NamedTuple):
    """What one file says.

    Attributes:
        width, height: In pixels, as stored.
        mode, format: In Pillow's words: ``'P'``, ``'PNG'``.
        orientation: 1 to 8 by EXIF; from 2 on readers turn or mirror the picture, from 5 on its sides are exchanged.
        values: All values that occur in a label map, all ids of a picture of segments; empty for a picture in colour
            in the place of a label map, None if the pixels were not read.
    """
    width: int
    height: int
    mode: str
    format: str
    orientation: int
    values: list[float] | None = None


class UnreadableFileError(ValueError):
    """A file is no picture, or a damaged one."""


def read_facts(path: str, kind: Kind) -> Facts:
    """Read the header of an image, or all of a label map or a picture of segments.

    Raises:
        UnreadableFileError: Pillow cannot read it.
        FileNotFoundError, PermissionError: There is no such file, or it is another user's.
    """
    try:
        with Image.open(path) as image:
            values = None if kind == 'image' else _ids(image) if kind == 'segments' else _labels(image)
            if kind != 'image' and (missing := missing_share(image, lambda: Image.open(path))):
                raise UnreadableFileError(f'{path} claims {image.width}x{image.height} pixels, but the file holds only '
                                          f'{1 - missing:.1%} of them: write it anew, or remove it and its entry')
            return Facts(*image.size, image.mode, image.format or '', _orientation(image), values)
    except (FileNotFoundError, PermissionError, UnreadableFileError):
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # which name no file
        raise UnreadableFileError(f'{path} cannot be read as a picture: write it anew, or remove it and its entry'
                                  ) from error


def _orientation(image: Image.Image) -> int:
    if 'exif' not in image.info and image.format != 'TIFF':
        return 1  # Pillow would read all of a PNG in search of it
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _labels(image: Image.Image) -> list[float]:
    if image.mode in _BYTES:
        values = np.flatnonzero(image.histogram()[:256])
        return (values > 0 if image.mode == '1' else values).astype(int).tolist()
    if image.mode.partition(';')[0] in _NUMBERS:
        return np.unique(np.asarray(image)).tolist()
    image.load()  # a damaged one is found here
    return []


def _ids(image: Image.Image) -> list[int]:
    if image.mode not in ('RGB', 'RGBA'):
        image.load()
        return []
    colours = image.convert('RGB').getcolors(_MAX_COLOURS)
    if colours is None:  # more segments than a picture has
        pixels = np.asarray(image)[..., :3].astype(np.int64)
        return np.unique(pixels @ np.array([1, 256, 256**2])).tolist()
    return sorted(red + 256 * green + 256**2 * blue for _, (red, green, blue) in colours)


class FactsMemory:
    """Facts of files by path, size and time of change, so that only new and changed files are read again.

    Args:
        path: A JSON file; one that does not exist or cannot be read is an empty memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.known: dict[str, list[Any]] = {}
        self.changed = False
        try:
            stored = json.loads(path.read_text()) if path is not None else {}
            if stored.get('version') == _VERSION:
                self.known = dict(stored['files'])
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            self.known = {}

    def facts(self, path: str, kind: Kind) -> Facts:
        """What a file says, read or remembered; see :func:`read_facts`."""
        stat = os.stat(path)
        stamp, key = [stat.st_size, stat.st_mtime_ns], f'{kind}:{os.path.abspath(path)}'
        entry = self.known.get(key)
        if entry is not None and entry[0] == stamp:
            return Facts(*entry[1])
        facts = read_facts(path, kind)
        self.known[key], self.changed = [stamp, facts], True
        return facts

    def save(self) -> None:
        """Write what was read, if anything was; a folder that cannot be written to is no error."""
        if self.path is None or not self.changed:
            return
        self.changed = False
        known = dict(self.known)  # other threads may be adding to it
        with suppress(OSError):
            write_atomic(json.dumps(dict(version=_VERSION, files=known)).encode(), self.path)


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Results in the order of the items; Pillow decodes several at a time."""
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 4)) as pool:
        yield from pool.map(function, items)
