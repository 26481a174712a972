"""The pinhole camera of an image, as four numbers that follow it through resizes and crops."""
from __future__ import annotations

from collections.abc import Sequence
from math import hypot, radians, tan
from typing import Any

import numpy as np


def as_camera(value: Any, size: Sequence[int]) -> np.ndarray:
    """Focal lengths and principal point ``fx, fy, cx, cy`` (4,) float64, in pixels.

    Args:
        value: A focal length; ``(fx, fy)``; ``(fx, fy, cx, cy)``; or a matrix K (3, 3). Without a principal point it is
            the centre of the image. The centre of the pixel at the top left is at (0, 0).
        size: Height and width of the image.

    Raises:
        ValueError: It is none of these, or a focal length is not positive.
    """
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape == (3, 3):
        numbers = numbers[[0, 1, 0, 1], [0, 1, 2, 2]]
    centre = ((size[1] - 1) / 2, (size[0] - 1) / 2)
    if numbers.shape in ((), (1, )):
        numbers = np.array([numbers.item()] * 2)
    if numbers.shape == (2, ):
        numbers = np.array([*numbers, *centre])
    if numbers.shape != (4, ) or not np.isfinite(numbers).all() or (numbers[:2] <= 0).any():
        raise ValueError(f'{value!r} is no camera: give a focal length in pixels, (fx, fy), (fx, fy, cx, cy), or a '
                         'matrix K of 3 rows')
    return numbers


def camera_of_view(degrees: float, size: Sequence[int]) -> np.ndarray:
    """``fx, fy, cx, cy`` of a camera that sees so many degrees along the longer side of an image (height, width)."""
    return as_camera(max(size) / 2 / tan(radians(degrees) / 2), size)


def camera_of_film(millimetres: float, size: Sequence[int]) -> np.ndarray:
    """``fx, fy, cx, cy`` of a focal length that is told for 35 mm film, as EXIF does: by the picture's diagonal."""
    return as_camera(millimetres * hypot(*size) / hypot(36, 24), size)


def scaled(camera: np.ndarray, across: float, down: float, left: float = 0., top: float = 0.) -> np.ndarray:
    """The camera of an image that is cut at (left, top) pixels and then resized by ``across`` and ``down``."""
    fx, fy, cx, cy = camera
    return np.array([fx * across, fy * down, (cx - left + .5) * across - .5, (cy - top + .5) * down - .5])


def mirrored(camera: np.ndarray, width: int) -> np.ndarray:
    """The camera of an image of so many pixels that is mirrored left to right."""
    fx, fy, cx, cy = camera
    return np.array([fx, fy, width - 1 - cx, cy])


def focal_length(camera: np.ndarray) -> float:
    """One focal length for both axes, the geometric mean: what tells how large things look."""
    return float(np.sqrt(camera[0] * camera[1]))


def to_points(depth: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(H, W) metres along the optical axis to points (H, W, 3) float32: x to the right, y down, z away, in metres."""
    fx, fy, cx, cy = camera.astype(np.float32)
    height, width = depth.shape
    x = (np.arange(width, dtype=np.float32) - cx) / fx
    y = (np.arange(height, dtype=np.float32) - cy) / fy
    return np.stack([x[None] * depth, y[:, None] * depth, depth], -1)
