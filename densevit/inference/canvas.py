"""Pictures of any size and shape made fit for a network, and its predictions laid back onto them."""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
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
        image: (h, w, 3) or (h, w), of the type of the picture: uint8, or uint16 where a pipeline keeps the depth.
        content: Height and width of the part, at the top left, that shows the picture; the rest repeats its edge.
        size: Height and width of the picture.
    """

    image: np.ndarray
    content: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def fit(cls, image: np.ndarray, max_pixels: int | None) -> Canvas:
        """Shrink what is larger than ``max_pixels``; pad what is longer than 32 times its width.

        Args:
            image: (H, W, 3) or (H, W), uint8 or uint16.
            max_pixels: None to shrink nothing.
        """
        height, width = size = image.shape[:2]
        pixels, short, long = height * width, min(size), max(size)
        if max_pixels is not None and long > MAX_ASPECT_RATIO * short:
            pixels, max_pixels = long * ceil(long / MAX_ASPECT_RATIO), min(max_pixels, _MAX_PADDED_PIXELS)
        scale = 1.0 if max_pixels is None else min(1.0, sqrt(max_pixels / pixels))
        if scale < 1:
            height, width = max(1, int(height * scale)), max(1, int(width * scale))
            image = _resized(image, height, width)
        shortest = ceil(max(height, width) / MAX_ASPECT_RATIO)
        if min(height, width) < shortest:
            padding = ((0, max(0, shortest - height)), (0, max(0, shortest - width)), (0, 0))
            image = np.pad(image, padding[:image.ndim], mode='edge')
        return cls(image, (height, width), size)

    @property
    def is_shrunk(self) -> bool:
        return self.content != self.size

    def lay(self, values: np.ndarray) -> np.ndarray:
        """A map (H, W) of the picture as the canvas has it, (h, w): the nearest of what is shrunk, repeated edges.

        Raises:
            ValueError: It has not the size of the picture.
        """
        if values.shape != self.size:
            raise ValueError(f'a map of {values.shape} pixels for a picture of {self.size}')
        rows, columns = (np.minimum(((np.arange(shown) + .5) * long / short).astype(int), long - 1)
                         for shown, short, long in zip(self.image.shape[:2], self.content, self.size, strict=True))
        return values[rows[:, None], columns]

    def restore(self, maps: Tensor, mode: Literal['nearest', 'bilinear'] = 'nearest', scale: int = 1) -> Tensor:
        """(..., h, w) of the canvas to (..., H, W) of the picture.

        Args:
            maps: Maps of any type; bilinear mode takes means, so they are floating-point numbers there.
            mode: How they are enlarged where the picture was shrunk: ``'nearest'`` for labels and masks, ``'bilinear'``
                for depth, alpha and colours.
            scale: How many pixels of a map, along a side, a pixel of the canvas has: (..., scale * h, scale * w) to
                (..., scale * H, scale * W), for super-resolution.

        Raises:
            ValueError: The maps are not of the canvas's size.
        """
        height, width = (scale * side for side in self.image.shape[:2])
        if maps.shape[-2:] != (height, width):
            raise ValueError(f'the model predicted {tuple(maps.shape[-2:])} pixels for {(height, width)}; '
                             'its predictions must have the size of "ori_shape"')
        content, size = (tuple(scale * side for side in sides) for sides in (self.content, self.size))
        maps = maps[..., :content[0], :content[1]]
        if not self.is_shrunk:
            return maps
        if mode == 'bilinear':
            flat = maps.reshape(1, -1, *content)
            return F.interpolate(flat, size, mode='bilinear', align_corners=False).reshape(*maps.shape[:-2], *size)
        rows, columns = (torch.arange(long, device=maps.device) * short // long
                         for short, long in zip(content, size, strict=True))
        return maps[..., rows[:, None], columns]

    def restore_boxes(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4), ``x0, y0, x1, y1`` in pixels of the canvas, to pixels of the picture, clipped to it."""
        height, width = self.size
        scale = boxes.new_tensor([width / self.content[1], height / self.content[0]]).repeat(2)
        return torch.minimum((boxes * scale).clamp(min=0), boxes.new_tensor([width, height, width, height]))


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture (H, W, C) or (H, W) with the means of its pixels at another size; of its type."""
    if image.dtype == np.uint8:
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    if image.ndim == 3:
        return np.stack([_resized(band, height, width) for band in np.moveaxis(image, 2, 0)], 2)
    # Pillow has no colours of 16 bits, and rounds grey ones along each axis; single precision holds them.
    means = np.asarray(Image.fromarray(image.astype(np.float32)).resize((width, height), Image.Resampling.BOX))
    return means if image.dtype.kind == 'f' else np.rint(means).astype(image.dtype)
