"""What makes an image worse: each is called with (H, W, C) or (H, W) and a generator of random numbers.

Images of integers are of 8 or 16 bits; those of floating-point numbers are in [0, 1]. A generator makes what is drawn a
function of its seed alone.
"""
from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from ...registry import TRANSFORMS
from .matlab_resize import Border, matlab_resize

Range = float | Sequence[float]


def to_unit(image: np.ndarray) -> np.ndarray:
    """To float32 in [0, 1]."""
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def to_eight_bits(image: np.ndarray) -> np.ndarray:
    """To uint8, clipped and rounded."""
    return image if image.dtype == np.uint8 else np.rint(to_unit(image).clip(0, 1) * 255).astype(np.uint8)


def crop_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """Without the last rows and columns that are no whole multiple."""
    height, width = image.shape[:2]
    return image[:height // multiple * multiple, :width // multiple * multiple]


@TRANSFORMS.register_module()
class BicubicDown:
    """MATLAB's bicubic, by which images are made small in papers on classical super-resolution.

    Args:
        scale: How many times smaller: a whole number.
        border: See :func:`densevit.datasets.restoration.matlab_resize.matlab_resize`.
    """

    def __init__(self, scale: int, border: Border = 'symmetric') -> None:
        self.scale, self.border = scale, border

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return matlab_resize(crop_to_multiple(image, self.scale), 1 / self.scale, self.border)


@TRANSFORMS.register_module()
class GaussianNoise:
    """White Gaussian noise. The image becomes float32 and is neither clipped nor rounded, as papers on denoising do.

    Args:
        sigma: Its deviation on the scale of 8 bits; a pair of numbers for one that is drawn evenly between them.
    """

    def __init__(self, sigma: Range) -> None:
        self.sigma = sigma

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        sigma = drawn(self.sigma, random) / 255
        return to_unit(image) + random.normal(0, sigma, image.shape).astype(np.float32)


@TRANSFORMS.register_module()
class JPEGCompression:
    """JPEG as Pillow writes it, colours at half resolution; the image becomes one of 8 bits.

    Args:
        quality: From 1 to 100; a pair of numbers for one that is drawn evenly between them.
    """

    def __init__(self, quality: Range) -> None:
        self.quality = quality

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        buffer = BytesIO()
        # Images are BGR here, and JPEG keeps the luma of RGB.
        pixels = to_eight_bits(image)
        is_color = pixels.ndim == 3 and pixels.shape[2] == 3
        picture = Image.fromarray(pixels[..., ::-1] if is_color else pixels.reshape(pixels.shape[:2]))
        picture.save(buffer, 'JPEG', quality=round(drawn(self.quality, random)))
        decoded = np.asarray(Image.open(buffer))
        return np.ascontiguousarray(decoded[..., ::-1]) if is_color else decoded.reshape(pixels.shape)


@TRANSFORMS.register_module()
class OneOf:
    """One of several ways to make an image worse, drawn evenly, so that one model learns to undo all.

    Args:
        choices: Lists of configs of degradations, each as ``densevit.Degrade`` takes one.
    """

    def __init__(self, choices: Sequence[Sequence[dict[str, Any]]]) -> None:
        if not choices:
            raise ValueError('OneOf has no choices: give lists of degradations')
        self.choices = [[TRANSFORMS.build(step) for step in steps] for steps in choices]

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        for step in self.choices[random.integers(len(self.choices))]:
            image = step(image, random)
        return image


def drawn(value: Range, random: np.random.Generator) -> float:
    """The number, or one between the two."""
    return float(random.uniform(*value)) if isinstance(value, Sequence) else float(value)
