"""Pictures of any size and shape made fit for a network, and its predictions laid back onto them."""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Resizing a 20000x3 picture to a network's size would leave a side of 0 pixels or make one of 3,000,000.
MAX_ASPECT_RATIO = 32
# Of such a picture nearly all pixels that the network sees are padding: no reason to spend much on them.
_MAX_PADDED_PIXELS = 2**21


@dataclass(frozen=True)
class Canvas:
    """What the network sees in place of a picture; for a usual picture, the picture.

    Attributes:
        image: (h, w, 3) or (h, w) uint8.
        content: height and width of the part, at the top left, that shows the picture; the rest repeats its edge.
        size: height and width of the picture.
    """

    image: np.ndarray
    content: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def fit(cls, image: np.ndarray, max_pixels: int) -> Canvas:
        """Shrink what is larger than ``max_pixels``; pad what is longer than 32 times its width.

        Args:
            image: (H, W, 3) or (H, W) uint8.
        """
        height, width = size = image.shape[:2]
        pixels, short, long = height * width, min(size), max(size)
        if long > MAX_ASPECT_RATIO * short:
            pixels, max_pixels = long * ceil(long / MAX_ASPECT_RATIO), min(max_pixels, _MAX_PADDED_PIXELS)
        scale = min(1.0, sqrt(max_pixels / pixels))
        if scale < 1:
            height, width = max(1, int(height * scale)), max(1, int(width * scale))
            image = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
        shortest = ceil(max(height, width) / MAX_ASPECT_RATIO)
        if min(height, width) < shortest:
            padding = ((0, max(0, shortest - height)), (0, max(0, shortest - width)), (0, 0))
            image = np.pad(image, padding[:image.ndim], mode='edge')
        return cls(image, (height, width), size)

    def restore(self, maps: Tensor) -> Tensor:
        """(..., h, w) of the canvas to (..., H, W) of the picture, by nearest neighbours where it was shrunk.

        Raises:
            ValueError: the maps are not of the canvas's size.
        """
        if maps.shape[-2:] != self.image.shape[:2]:
            raise ValueError(f'the model predicted {tuple(maps.shape[-2:])} pixels for {self.image.shape[:2]}; '
                             'its predictions must have the size of "ori_shape"')
        if self.content == self.size:
            return maps[..., :self.size[0], :self.size[1]]
        rows, columns = (
            torch.arange(long, device=maps.device) * short // long
            for short, long in zip(self.content, self.size, strict=True))
        return maps[..., rows[:, None], columns]
