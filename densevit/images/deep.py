"""Pictures of 8 or 16 bits as they are, for tasks that give pictures back: nothing is scaled, alpha is kept apart."""
from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from ..errors import printable
from .colors import ProfileError, grey_to_rgb, to_srgb
from .deep_colors import TableProfileError, deep_to_srgb
from .reading import (
    SIXTEEN_BIT_MODES,
    ImageSource,
    grey_values,
    is_of_deep_colors,
    local_path,
    open_picture,
    orientation,
    read_with_doubts,
    turned,
    upright,
    whole_files,
)

_MOST = 65535
# Of which OpenCV reads colours of 16 bits, whose upper halves are what Pillow has.
_OPENCV_FORMATS = ('PNG', 'TIFF')


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

    It is turned by its EXIF data, and its colours are converted to sRGB, as they are there.

    Args:
        source: As in :func:`read_image`. Floats in [0, 1], of arrays and of files, become values of 16 bits, in steps
            of 1 / 65535. Images that Pillow has opened hold 16 bits of grey and 8 of colours: give the file of others.

    Raises:
        ImageError: As :func:`read_image` does, by which every picture is looked at first.
    """
    return read_deep_with_doubts(source)[1]


def read_deep_with_doubts(source: ImageSource) -> tuple[np.ndarray, DeepImage, list[str]]:
    """What `read_image` and `read_deep` give of a picture, and what a user should know about it.

    That is, beside what :func:`read_with_doubts` says: that 16 bits have the colours of the file's profile, since it
    is one of tables.
    """
    flat, doubts = read_with_doubts(source)
    if isinstance(source, np.ndarray):
        return flat, _of_array(source, flat), doubts
    if isinstance(source, Image.Image):
        return flat, _of_pil(source, None, flat, 'the PIL image', doubts), doubts
    path = local_path(source)
    with whole_files, open_picture(path) as image:
        return flat, _of_pil(image, path, flat, printable(path), doubts), doubts


def _of_array(array: np.ndarray, flat: np.ndarray) -> DeepImage:
    """(H, W) or (H, W, 1 | 3 | 4) in RGB(A) order, in either byte order."""
    if np.issubdtype(array.dtype, np.floating):
        array = np.rint(array.astype(np.float64) * _MOST).astype(np.uint16)
    if array.dtype.kind != 'u':
        return DeepImage(flat)
    array = np.array(array, array.dtype.newbyteorder('='), order='C')
    if array.ndim == 2 or array.shape[2] == 1:
        return DeepImage(grey_to_rgb(array.reshape(array.shape[:2])))
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return DeepImage(np.ascontiguousarray(array[..., :3]), alpha)


def _of_pil(image: Image.Image, path: Path | None, flat: np.ndarray, name: str, doubts: list[str]) -> DeepImage:
    """An image of Pillow's, and its file if it has just been opened: loaded ones have 8 bits of each colour."""
    if path is not None and image.format in _OPENCV_FORMATS and is_of_deep_colors(image):
        values = _deep_colors(image, path)
        if values is not None:
            return _in_srgb(values, image, name, doubts)
    if image.mode not in (*SIXTEEN_BIT_MODES, 'F') and not image.has_transparency_data:
        return DeepImage(flat)  # most pictures, which are not decoded once more
    image.load()
    if image.mode in SIXTEEN_BIT_MODES:
        return _in_srgb(grey_values(image).astype(np.uint16), image, name, doubts)
    if image.mode == 'F':
        values = turned(np.asarray(image), orientation(image))
        return _of_array(values, values)
    return _with_alpha(upright(image), flat)


def _deep_colors(image: Image.Image, path: Path) -> np.ndarray | None:
    """(H, W, 3 | 4) uint16 in RGB(A) order, as they are stored in a file; None of what OpenCV does not know."""
    is_premultiplied = any('RGBa' in str(tile) for tile in image.tile)
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        return None
    values = np.ascontiguousarray(values[..., [2, 1, 0, 3][:values.shape[2]]])
    if not image.has_transparency_data:  # a fourth channel that is no alpha
        return values[..., :3]
    if is_premultiplied:
        alpha = np.maximum(values[..., 3:], 1).astype(np.float64)
        values[..., :3] = np.rint(np.minimum(values[..., :3] / alpha, 1) * _MOST)
    return values


def _in_srgb(values: np.ndarray, image: Image.Image, name: str, doubts: list[str]) -> DeepImage:
    """(H, W) or (H, W, 3 | 4) uint16 with the colours of the image's profile, stored as its EXIF data say."""
    is_grey = values.ndim == 2 or image.mode == 'LA'
    colors = values if values.ndim == 2 else values[..., 0] if is_grey else values[..., :3]
    if profile := image.info.get('icc_profile'):
        try:
            colors = deep_to_srgb(colors, profile)
        except TableProfileError as error:
            doubts.append(f'{name}: {error}, so the result has the colours of the profile and none that says so; '
                          'convert the picture to sRGB')
        except ProfileError:  # of which read_with_doubts has told
            pass
    colors, order = grey_to_rgb(colors) if is_grey else colors, orientation(image)
    alpha = turned(values[..., 3], order) if values.ndim == 3 and values.shape[2] == 4 else None
    return DeepImage(turned(colors, order), alpha)


def _with_alpha(image: Image.Image, flat: np.ndarray) -> DeepImage:
    """Of a loaded upright image; a profile that cannot be used is left out."""
    if not image.has_transparency_data:
        return DeepImage(flat)
    rgba = np.array(image.convert('RGBA'))
    colors, profile = Image.fromarray(rgba[..., :3].copy()), image.info.get('icc_profile')
    if image.mode in ('LA', 'La', 'L', '1'):
        colors = colors.getchannel(0)
    if profile:
        with suppress(ProfileError):  # of which read_with_doubts has told
            colors = to_srgb(colors, profile)
    return DeepImage(np.array(colors.convert('RGB')), rgba[..., 3].copy())
