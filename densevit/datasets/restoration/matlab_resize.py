"""MATLAB's ``imresize`` with bicubic interpolation, to the bit: what published super-resolution starts from."""
from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np

Border = Literal['symmetric', 'replicate']


def matlab_resize(image: np.ndarray, scale: float, border: Border = 'symmetric') -> np.ndarray:
    """Resize an image as MATLAB's ``imresize(image, scale, 'bicubic')`` does.

    Where it shrinks, the cubic (Keys, 1981, a = -1/2) is stretched over ``1 / scale`` pixels against aliasing. Images
    of integers are rounded after each axis, as MATLAB does. OpenCV's, Pillow's and PyTorch's bicubic differ from it by
    up to dozens of levels, which costs a trained network decibels.

    Args:
        image: (H, W) or (H, W, C), of integers or floating-point numbers.
        scale: The factor: 0.5 for half the size. Sizes are rounded up.
        border: What lies beyond the border: ``'symmetric'`` mirrors the image, as MATLAB has done since 2015 or before;
            ``'replicate'`` repeats its edge, as the versions did that made the low-resolution images of SelfExSR.

    Returns:
        (ceil(H * scale), ceil(W * scale)) or with C channels, of the type of the image.

    Raises:
        ValueError: The scale is not positive, or the border is unknown.
    """
    if not scale > 0:
        raise ValueError(f'scale={scale}: give a factor above 0')
    if border not in ('symmetric', 'replicate'):
        raise ValueError(f"border={border!r}: choose 'symmetric' or 'replicate'")
    for axis in (0, 1):  # MATLAB's order where both factors are equal
        image = _resize_axis(image, axis, scale, border)
    return image


def _resize_axis(image: np.ndarray, axis: int, scale: float, border: Border) -> np.ndarray:
    indices, weights = _taps(image.shape[axis], scale, border)
    rows = np.moveaxis(image, axis, 0)
    shape = (-1, *(1, ) * (image.ndim - 1))
    is_integer = np.issubdtype(image.dtype, np.integer)
    values = np.zeros((len(indices), *rows.shape[1:]), np.float64 if is_integer else image.dtype)
    for tap in range(indices.shape[1]):
        values += weights[:, tap].reshape(shape) * rows[indices[:, tap]]
    if is_integer:
        limits = np.iinfo(image.dtype)  # MATLAB rounds halves away from zero
        values = np.floor(values.clip(limits.min, limits.max) + .5).clip(limits.min, limits.max).astype(image.dtype)
    return np.moveaxis(values, 0, axis)


@lru_cache(maxsize=64)  # crops of training have one size
def _taps(length: int, scale: float, border: Border) -> tuple[np.ndarray, np.ndarray]:
    """Which entries each new one is made of, and their weights: two (ceil(length * scale), taps)."""
    new_length = math.ceil(length * scale)
    stretch = min(scale, 1.)
    taps = math.ceil(4 / stretch) + 2
    centres = (np.arange(1, new_length + 1) / scale) + .5 * (1 - 1 / scale)  # counted from 1, as in MATLAB
    positions = np.floor(centres - 2 / stretch)[:, None] + np.arange(taps)
    weights = stretch * _cubic(stretch * (centres[:, None] - positions))
    weights /= weights.sum(1, keepdims=True)
    indices = positions.astype(int) - 1
    if border == 'symmetric':
        mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
        indices = mirrored[indices % (2 * length)]
    else:
        indices = indices.clip(0, length - 1)
    used = weights.any(0)
    return indices[:, used], weights[:, used]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.))
