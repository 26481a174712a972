"""Pictures of 8 or 16 bits as they are, for tasks that give pictures back: nothing is scaled, alpha is kept apart."""
from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from .reading import ImageSource, local_path, read_with_doubts

_ORIENTATION = 0x0112  # of EXIF
_SIXTEEN_BITS = ('.png', '.tif', '.tiff')


class DeepImage(NamedTuple):
    """A picture without loss.

    Attributes:
        pixels: (H, W, 3) uint8 or uint16, RGB; under transparency, the colours that the file has.
        alpha: (H, W) of the same type; None of a picture without.
    """
    pixels: np.ndarray
    alpha: np.ndarray | None = None


def read_deep(source: ImageSource) -> DeepImage:
    """Read a picture of 16 bits as such, and any other as :func:`read_image` does, with its alpha apart.

    Args:
        source: As in :func:`read_image`.

    Raises:
        ImageError: As :func:`read_image` does, by which every picture is looked at first.
    """
    flat, _ = read_with_doubts(source)
    if isinstance(source, np.ndarray):
        return _split(source) if source.dtype in (np.uint8, np.uint16) and source.ndim == 3 else _of_grey(source, flat)
    if isinstance(source, str | os.PathLike):
        path = local_path(source)
        if path.suffix.lower() in _SIXTEEN_BITS and (deep := _sixteen_bits(path)) is not None:
            return deep
        with Image.open(path) as image:
            return _with_alpha(image, flat)
    return _with_alpha(source, flat)


def _of_grey(array: np.ndarray, flat: np.ndarray) -> DeepImage:
    if array.ndim == 2 and array.dtype == np.uint16:
        return DeepImage(array[..., None].repeat(3, 2))
    return DeepImage(flat)


def _split(array: np.ndarray) -> DeepImage:
    """(H, W, 1 | 3 | 4) in RGB(A) order."""
    pixels = array[..., :3] if array.shape[2] > 1 else array.repeat(3, 2)
    return DeepImage(np.ascontiguousarray(pixels), array[..., 3].copy() if array.shape[2] == 4 else None)


def _sixteen_bits(path: Path) -> DeepImage | None:
    """None of a file of 8 bits, and of one that is turned by its EXIF data: there are hardly any."""
    with Image.open(path) as image:  # which decodes nothing yet
        is_deep = image.mode.startswith('I') or any(';16' in str(tile) for tile in image.tile)
        if not is_deep or image.getexif().get(_ORIENTATION, 1) != 1:
            return None
    array = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        return None
    if array.ndim == 2:
        return DeepImage(array[..., None].repeat(3, 2))
    order = [2, 1, 0, 3][:array.shape[2]]
    return _split(np.ascontiguousarray(array[..., order]))


def _with_alpha(image: Image.Image, flat: np.ndarray) -> DeepImage:
    if not image.has_transparency_data:
        return DeepImage(flat)
    rgba = np.asarray(image.convert('RGBA'))
    if rgba.shape[:2] != flat.shape[:2]:  # turned by its EXIF data
        return DeepImage(flat)
    return _split(rgba)
