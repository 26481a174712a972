"""Images in a pipeline, as ``predict`` reads them."""
from __future__ import annotations

import warnings
from typing import Any, Literal

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import DoubtfulResultWarning
from ...images import read_with_doubts, to_grey
from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Reads an image as ``densevit.load(...).predict`` does, in place of mmcv's ``LoadImageFromFile``.

    OpenCV drops transparency and shows what nobody was meant to see, divides 16 bits by 256 whatever they hold, knows
    no colour profile and reads half a file without a word; :func:`densevit.images.read_image` tells what is done here.
    An ordinary 8-bit picture has the same values in both. Of what is doubtful about images, the first is warned of.

    Args:
        color_type: ``'color'``, (H, W, 3) in BGR order, or ``'grayscale'``, (H, W).
        to_float32: Whether to give float32 in place of uint8.

    Required keys: ``img_path``, a local file. Added keys: ``img``, ``img_shape``, ``ori_shape``.

    Raises:
        ImageError: The file is missing, damaged or no picture.
    """

    def __init__(self, color_type: Literal['color', 'grayscale'] = 'color', to_float32: bool = False) -> None:
        if color_type not in ('color', 'grayscale'):
            raise ValueError(f"color_type is 'color' or 'grayscale', not {color_type!r}")
        self.color_type, self.to_float32 = color_type, to_float32
        self._has_warned = False

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, doubts = read_with_doubts(results['img_path'])
        if doubts and not self._has_warned:
            self._has_warned = True
            warnings.warn(f'{doubts[0]} (other images are not named)', DoubtfulResultWarning, stacklevel=2)
        results['img'] = to_openmmlab(image, self.color_type, self.to_float32)
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(color_type={self.color_type!r}, to_float32={self.to_float32})'


def to_openmmlab(image: np.ndarray, color_type: str = 'color', to_float32: bool = False) -> np.ndarray:
    """Turn (H, W, 3) RGB into BGR, or into (H, W) where ``color_type`` says grayscale, as OpenMMLab has them.

    Pictures of 16 bits stay such; their luma is OpenCV's.
    """
    if not color_type.startswith('grayscale'):
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    else:
        image = to_grey(image) if image.dtype == np.uint8 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return image.astype(np.float32) if to_float32 else image
