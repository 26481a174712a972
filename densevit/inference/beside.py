"""Maps that a user gives beside pictures, as masks and trimaps: found for each picture, read, and cut for tiles."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..images import read_deep
from .sources import looks_like_picture
from .task import Argument, Picture

# Of several tasks, and therefore said once of all.
MASK = Argument('--mask', 'predict', dict(
    metavar='PATH', help='restoration: what is to be filled, in white; matting: in place of a trimap the object, whose '
    'edge is unknown. A picture of the same size, or a folder of those with the names of the pictures'))


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """The grey (H, W) of a file as float32 in [0, 1], colours as their mean; what is transparent is 0.

    A file whose largest value is 1 holds 0 and 1.

    Raises:
        ImageError: See :func:`densevit.images.read_image`.
    """
    pixels, alpha = read_deep(path)
    most = np.float32(np.iinfo(pixels.dtype).max)
    values = pixels.mean(2, dtype=np.float32)
    if alpha is not None:
        values = values * (alpha / most)
    return values if values.max() == 1 else values / most


def map_beside(
    picture: Picture,
    given: Any,
    name: str,
    read: Callable[[str | os.PathLike], np.ndarray] = read_mask,
) -> np.ndarray | None:
    """The map of a picture or, of a tile, that of its picture; read anew at each call, see `part_beside`.

    Args:
        picture: What it lies beside.
        given: What the call has: (H, W) of shares or of whole numbers, a file, a folder of files with the names of the
            pictures, a dictionary of these by name, or None.
        name: Of the option, for messages.
        read: Gives what a file holds.

    Returns:
        (H, W) float32 in [0, 1]; None if there is none.

    Raises:
        ValueError: A folder has none or several for the picture, or its size or values do not fit.
    """
    if isinstance(given, Mapping):
        names = () if picture.source is None else (picture.source, str(picture.source), picture.source.name)
        given = next((given[key] for key in names if key in given), None)
    if given is None:
        return None
    values = _read(given, name, picture.source, read)
    size = tuple(picture.tile_of or picture.image.shape[:2])
    if values.shape != size:
        turned = values.shape[::-1] == size
        raise ValueError(f'the {name} has {values.shape} pixels and the picture {size}: ' + (
            'it seems to be made for the stored pixels of a picture that its EXIF orientation turns, so turn it as well'
            if turned else 'give one of its height and width'))
    return values


def part_beside(picture: Picture, name: str, make: Callable[[], np.ndarray | None]) -> np.ndarray | None:
    """The part of a map that lies beside a tile; all of it beside a picture.

    Args:
        picture: What it lies beside. It and its tiles keep the map.
        name: What the map is kept as.
        make: Gives the map of the whole picture, (H, W), or None if there is none; called once for all tiles.

    Returns:
        (h, w), the size of the picture or tile; None if there is no map.
    """
    if name not in picture.beside:
        picture.beside[name] = make()
    values = picture.beside[name]
    if values is None:
        return None
    (top, left), size = picture.corner, picture.image.shape[:2]
    part = values[top:top + size[0], left:left + size[1]]
    return np.resize(part, size) if picture.is_probe and part.shape != size else part


def _read(given: Any, name: str, source: Path | None, read: Callable[[str | os.PathLike], np.ndarray]) -> np.ndarray:
    if isinstance(given, str | os.PathLike):
        path = Path(given).expanduser()
        if path.is_dir():
            stem = '' if source is None else source.stem
            found = sorted(file for file in path.iterdir() if file.stem == stem and looks_like_picture(file))
            if not found:
                raise ValueError(f'{path} has no {name} for {source}: name it as the picture is named')
            if len(found) > 1:
                raise ValueError(f'{found[0]} and {found[1]} may both be the {name} of {source}: remove one, or give '
                                 'the file')
            path = found[0]
        return read(path)
    values = np.asarray(given)
    if values.ndim != 2:
        raise ValueError(f'{name} of shape {values.shape}: give (H, W)')
    most = 1
    if values.dtype.kind in 'iu' and values.size:  # 0 and 1 alone are shares already
        most = next((most for most in (1, 255) if values.max() <= most), 65535)
    values = values.astype(np.float32) / np.float32(most)
    if not ((values >= 0) & (values <= 1)).all():  # NaN is neither
        raise ValueError(f'the {name} has values that are no shares: give numbers in [0, 1], or whole ones up to 255')
    return values
