"""How pictures are resized before a network sees them."""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def resize_by_means(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(H, W) or (H, W, C) at another size: means along a side that shrinks, linear along one that grows.

    OpenCV's INTER_AREA means no more as soon as one of both sides grows, so that these are two steps.

    Args:
        values: Of a type that OpenCV resizes.
        size: The new height and width.
    """
    size = tuple(size)
    shrunk = tuple(map(min, values.shape[:2], size))
    if shrunk != values.shape[:2]:
        values = cv2.resize(values, shrunk[::-1], interpolation=cv2.INTER_AREA)
    return values if shrunk == size else cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
