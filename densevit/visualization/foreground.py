"""The colours of an object without what shines through it, and the object on another background."""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .palette import Color

_RADII = (90, 6)  # of the two passes, in pixels: the first fills in what is far from the object, the second is sharp
_LEAST = 1e-5  # of what is divided by
_SQUARE = 16  # pixels of a chequered background
_CHEQUERS = np.array([204, 255], np.uint8)


def estimate_foreground(image: np.ndarray, alpha: np.ndarray, radii: Sequence[int] = _RADII) -> np.ndarray:
    """The foreground's colours (H, W, 3) uint8, in and around an object of a known opacity.

    Blur fusion (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021, equations 2 to 5, in two passes):
    means of foreground and background, weighted by how much each pixel has of them, corrected by what is left of the
    picture, ``alpha * (I - alpha * F - (1 - alpha) * B)``.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) in [0, 1].
        radii: Sides of the box blur of each pass in pixels.
    """
    picture = image.astype(np.float32) / 255
    opacity = alpha.astype(np.float32)[..., None]
    foreground = background = picture
    for radius in radii:
        share = cv2.blur(opacity, (radius, radius))[..., None]
        mean = cv2.blur(foreground * opacity, (radius, radius)) / (share + _LEAST)
        background = cv2.blur(background * (1 - opacity), (radius, radius)) / (1 - share + _LEAST)
        rest = picture - opacity * mean - (1 - opacity) * background
        foreground = np.clip(mean + opacity * rest, 0, 1)
    return np.rint(foreground * 255).astype(np.uint8)


def on_background(foreground: np.ndarray, alpha: np.ndarray, background: Color | np.ndarray | None = None
                  ) -> np.ndarray:
    """An object on another background, (H, W, 3) uint8.

    Args:
        foreground: (H, W, 3) uint8, its colours.
        alpha: (H, W) in [0, 1].
        background: A colour, a picture (H, W, 3), or None for grey and white squares.

    Raises:
        ValueError: The background has not the size of the object.
    """
    height, width = alpha.shape
    if background is None:
        y, x = np.ogrid[:height, :width]
        behind = _CHEQUERS[(y // _SQUARE + x // _SQUARE) % 2][..., None]
    else:
        behind = np.asarray(background)
        if behind.shape not in ((3, ), (height, width, 3)):
            raise ValueError(f'a background of shape {behind.shape}: give a colour (red, green, blue), or a picture of '
                             f'({height}, {width}, 3)')
    opacity = alpha.astype(np.float32)[..., None]
    return np.rint(opacity * foreground + (1 - opacity) * behind).astype(np.uint8)
