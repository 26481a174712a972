"""Files of opacities and trimaps, and trimaps of masks and of opacities.

An opacity is (H, W) float32 in [0, 1]. A trimap is (H, W) float32: 0 in the background, 1 in the foreground and 0.5
where nobody knows.
"""
from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from ...images import upright

_GREY = 8  # of 255, between the colours of a grey JPEG
# By the greatest value that a file may have: below this greatest value it holds labels, or 8 bits in 16.
_FAINT = {255: 2, 65535: 255}
_TOLERANCE = .5 / 255  # of 0 and 1: resizing makes .9999999 of ones
_LOWER, _UPPER = 85 / 255, 170 / 255  # of an unknown value of a trimap's file, as ViTMatte's authors round it


class AlphaFileError(ValueError):
    """A file of opacities cannot be used; the message is one line and says what to do about it."""


def read_alpha(path: str | os.PathLike) -> np.ndarray:
    """The opacity (H, W) that a file of 8 or 16 bits holds.

    It is the transparency of a picture that has some, and else its grey; colours of equal values are grey, too. Values
    of floating point are taken as they are. A file is turned as its EXIF data say, as images are.

    Raises:
        AlphaFileError: It is no picture, one in colours, or has values that are no opacities.
        FileNotFoundError: There is none.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode == 'P':
                image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
            values = np.asarray(upright(image))
            bands = image.getbands()
    except FileNotFoundError:
        raise FileNotFoundError(f'there is no file {path}: correct data_prefix or the suffix of opacities') from None
    except Exception as error:  # of Pillow's many decoders
        raise AlphaFileError(f'{path} cannot be read as a picture ({error}): write opacities as PNG') from error
    return _shares(_one_band(values, bands, path), path)


def _one_band(values: np.ndarray, bands: Sequence[str], path: str | os.PathLike) -> np.ndarray:
    """The band (H, W) of a picture that is its opacity."""
    if values.ndim == 2:
        return values
    if bands[-1] == 'A':
        if values[..., -1].min() < 255:
            return values[..., -1]
        values = values[..., :-1]  # it may have been saved as grey of a format that has transparency
    if np.ptp(values.astype(np.int16), axis=2).max() > _GREY:
        raise AlphaFileError(f'{path} has colours and nothing transparent: an opacity is grey, 0 for the background '
                             'and 255 for the foreground, or the transparency of a PNG')
    return values[..., 0]


def _shares(values: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Values of a file as float32 in [0, 1]."""
    if values.dtype == bool:
        return values.astype(np.float32)
    if values.dtype.kind == 'f':
        if not (values >= 0).all() or not (values <= 1).all():  # NaN is neither
            raise AlphaFileError(f'{path} has floating point values that are not between 0 and 1: write opacities as '
                                 'PNG of 8 or 16 bits')
        return values.astype(np.float32)
    most, greatest = 255 if values.dtype == np.uint8 else 65535, int(values.max())
    if values.min() < 0 or greatest > most:
        raise AlphaFileError(f'{path} has values of more than 16 bits: write opacities as PNG of 8 or 16 bits')
    if 0 < greatest <= _FAINT[most]:
        raise AlphaFileError(f'{path} has {8 if most == 255 else 16} bits a pixel and no value above {greatest}: write '
                             f'{most} where the object is opaque')
    return values.astype(np.float32) / np.float32(most)


def read_trimap(path: str | os.PathLike) -> np.ndarray:
    """The trimap (H, W) of a file: below 85 of 255 is background, from 170 foreground.

    Raises:
        AlphaFileError, FileNotFoundError: See :func:`read_alpha`.
    """
    return three_levels(read_alpha(path))


def three_levels(values: np.ndarray) -> np.ndarray:
    """Values (H, W) in [0, 1] as those of a trimap."""
    return ((values >= _LOWER).astype(np.float32) + (values >= _UPPER)) / np.float32(2)


def trimap_of(alpha: np.ndarray, outside: float, inside: float | None = None) -> np.ndarray:
    """The trimap of a mask or of an opacity: unknown is what is partly transparent, and a band around it.

    Args:
        alpha: (H, W) bool or in [0, 1].
        outside: How many pixels of the background, from the object on, are unknown: those of a mask that dilates.
        inside: How many pixels of the object, from its edge on, are unknown; as many if None.

    Raises:
        ValueError: A width is negative.
    """
    inside = outside if inside is None else inside
    if outside < 0 or inside < 0:
        raise ValueError(f'a trimap of width {min(outside, inside)}: give pixels, 0 or more')
    foreground, background = is_opaque(alpha), is_clear(alpha)
    trimap = np.full(alpha.shape, .5, np.float32)
    trimap[_deep_inside(foreground, inside)] = 1
    trimap[_deep_inside(background, outside)] = 0
    return trimap


def is_opaque(alpha: np.ndarray) -> np.ndarray:
    """Where an opacity is 1, to a half of the steps that 8 bits have: (H, W) bool."""
    return alpha > 1 - _TOLERANCE


def is_clear(alpha: np.ndarray) -> np.ndarray:
    """Where an opacity is 0, to a half of the steps that 8 bits have: (H, W) bool."""
    return alpha < _TOLERANCE


def width_for(mask: np.ndarray) -> int:
    """A width in pixels of the unknown band of an object, where nobody chooses one: a twentieth of its extent.

    That holds hair of a person and does not leave a small object without a known inside.
    """
    return max(3, round(.05 * float(np.count_nonzero(mask))**.5))


def _deep_inside(mask: np.ndarray, width: float) -> np.ndarray:
    """Pixels of a mask that are more than ``width`` pixels from those outside; the border of the image is no edge."""
    if mask.all():
        return mask
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > width
