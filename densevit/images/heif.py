"""HEIC, as telephones write it, by way of pillow-heif where that is installed."""
from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from PIL import Image

SUFFIXES = frozenset({'.heic', '.heics', '.heif', '.heifs', '.hif'})
INSTALL = 'pip install pillow-heif'

_BRANDS = {b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1'}


@cache
def has_heif() -> bool:
    """Whether pillow-heif is installed."""
    return importlib.util.find_spec('pillow_heif') is not None


def is_heif(path: Path) -> bool:
    """Whether a file's first bytes say HEIC, whatever its name says."""
    with open(path, 'rb') as file:
        head = file.read(12)
    return head[4:8] == b'ftyp' and head[8:] in _BRANDS


def open_heif(path: Path) -> Image.Image:
    """The first picture of the file, upright; Pillow's own list of formats is left as it is.

    Raises:
        Image.DecompressionBombError: It has more pixels than Pillow takes of other formats.
    """
    import pillow_heif

    file, limit = pillow_heif.open_heif(path), 2 * (Image.MAX_IMAGE_PIXELS or float('inf'))
    if file.size[0] * file.size[1] > limit:
        raise Image.DecompressionBombError(f'{file.size[0]}x{file.size[1]} pixels exceed the limit of {limit}')
    return file.to_pillow()
