"""Files of opacities and trimaps, and trimaps of masks and of opacities.

An opacity is (H, W) float32 in [0, 1]. A trimap is (H, W) float32: 0 in the background, 1 in the foreground and 0.5
where nobody knows.
"""
from __future__ import annotations

import os

import cv2
import numpy as np
from PIL import Image

_LOWER, _UPPER = 85 / 255, 170 / 255  # of an unknown value of a trimap's file, as ViTMatte's authors round it


class AlphaFileError(ValueError):
    """A file of opacities cannot be used; the message is one line and says what to do about it."""


def read_alpha(path: str | os.PathLike) -> np.ndarray:
    """The opacity (H, W) that a file of 8 or 16 bits holds.

    It is the transparency of a picture that has some, and else its grey; colours of equal values are grey, too.

    Raises:
        AlphaFileError: It is no picture, or one in colours.
        FileNotFoundError: There is none.
    """
    try:
        with Image.open(path) as image:
            if image.mode == 'P':
                image = image.convert('RGBA' if 'transparency' in image.info else 'RGB')
            values = np.asarray(image)
            bands = image.getbands()
    except FileNotFoundError:
        raise FileNotFoundError(f'there is no file {path}: correct data_prefix or the suffix of opacities') from None
    except Exception as error:  # of Pillow's many decoders
        raise AlphaFileError(f'{path} cannot be read as a picture ({error}): write opacities as PNG') from error
    if bands[-1] == 'A' and values.ndim == 3:
        values = values[..., -1]
    elif values.ndim == 3:
        if np.ptp(values.astype(np.int32), axis=2).max() > 8:  # JPEG does not keep grey quite grey
            raise AlphaFileError(f'{path} has colours: an opacity is grey, 0 for the background and 255 for the '
                                 'foreground, or the transparency of a PNG')
        values = values[..., 0]
    if values.dtype == bool:
        return values.astype(np.float32)
    most = 255 if values.dtype == np.uint8 else 65535
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
    foreground, background = alpha >= 1, alpha <= 0
    trimap = np.full(alpha.shape, .5, np.float32)
    trimap[_deep_inside(foreground, inside)] = 1
    trimap[_deep_inside(background, outside)] = 0
    return trimap


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
