"""What makes an image worse: each is called with (H, W, C) or (H, W) and a generator of random numbers.

Images of integers are of 8 or 16 bits; those of floating-point numbers are in [0, 1]. A generator makes what is drawn a
function of its seed alone.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image

from ...registry import TRANSFORMS
from .matlab_resize import Border, matlab_resize

Range = float | Sequence[float]
Blend = Literal['screen', 'add']


def checked(value: Range, name: str, least: float, most: float = math.inf) -> Range:
    """A number, or a pair of numbers to draw from, as it is given.

    Args:
        value: The number or the pair.
        name: Of the option, for the message.
        least, most: What it may be; both are allowed.

    Raises:
        ValueError: It is out of bounds, or the first of the pair is the larger one.
    """
    numbers = list(value) if isinstance(value, Sequence) else [value]
    in_bounds = all(least <= number <= most for number in numbers)
    if len(numbers) not in (1, 2) or not in_bounds or numbers != sorted(numbers):
        bounds = f'from {least:g} on' if most == math.inf else f'from {least:g} to {most:g}'
        raise ValueError(f'{name}={value}: give a number {bounds}, or two of them, the smaller first')
    return value


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
        self.scale, self.border = checked(scale, 'scale of BicubicDown', 1), border

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return matlab_resize(crop_to_multiple(image, self.scale), 1 / self.scale, self.border)


@TRANSFORMS.register_module()
class GaussianNoise:
    """White Gaussian noise. The image becomes float32 and is neither clipped nor rounded, as papers on denoising do.

    Args:
        sigma: Its deviation on the scale of 8 bits; a pair of numbers for one that is drawn evenly between them.
    """

    def __init__(self, sigma: Range) -> None:
        self.sigma = checked(sigma, 'sigma of GaussianNoise', 0)

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
        self.quality = checked(quality, 'quality of JPEGCompression', 1, 100)

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
class SyntheticRain:
    """Rain streaks in front of the image, which keeps its type.

    A drop that falls while the shutter is open leaves a bright streak (Garg and Nayar, Vision and Rain, IJCV 2007).
    Drops are sparse noise that is blurred along their motion, in layers of one kind of streak each: Rain100L has one
    layer and Rain100H five (Yang et al., arXiv:1609.07769). Streaks have no colour. They come in from beyond the
    borders, so that the image may be a crop.

    Args:
        density: Drops for each pixel of a layer. As all that follows, a pair of numbers for one that is drawn evenly
            between them; here evenly in its logarithm.
        length: Of streaks in pixels, drawn for each layer; those of a layer are as long.
        width: The full width at half of their brightness in pixels, drawn for each layer.
        angle: Of the wind, in degrees from the vertical, drawn for each image; streaks of a positive one lean as ``/``.
        spread: The deviation of layers from that angle, in degrees.
        brightness: Of the brightest drops of a layer, as a share of white, drawn for each layer; others have from half
            of it on.
        layers: Their number.
        blend: ``'screen'``, ``1 - (1 - image) * (1 - rain)``, which does not saturate (Luo et al., Removing Rain from a
            Single Image via Discriminative Sparse Coding, ICCV 2015), or ``'add'``, clipped at white, as in Rain100.

    Raises:
        ValueError: The blend is unknown, or a number makes no sense.
    """

    def __init__(
        self,
        density: Range = (.0005, .006),
        length: Range = (8., 50.),
        width: Range = (1., 2.5),
        angle: Range = (-40., 40.),
        spread: Range = 4.,
        brightness: Range = (.2, .7),
        layers: int | Sequence[int] = (1, 4),
        blend: Blend = 'screen',
    ) -> None:
        if blend not in get_args(Blend):
            raise ValueError(f"SyntheticRain has blend={blend!r}: choose 'screen' or 'add'")
        self.density = checked(density, 'density of SyntheticRain', 1e-9, 1)
        self.length, self.width = (checked(value, f'{name} of SyntheticRain', .1)
                                   for name, value in (('length', length), ('width', width)))
        self.angle = checked(angle, 'angle of SyntheticRain', -90, 90)
        self.spread = checked(spread, 'spread of SyntheticRain', 0)
        self.brightness = checked(brightness, 'brightness of SyntheticRain', 0, 1)
        self.layers, self.blend = checked(layers, 'layers of SyntheticRain', 0), blend

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        rain = self.streaks(image.shape[:2], random)
        rain = rain[..., None] if image.ndim == 3 else rain
        clean = to_unit(image)
        rainy = clean + rain * (1 - clean) if self.blend == 'screen' else (clean + rain).clip(max=1)
        if np.issubdtype(image.dtype, np.floating):
            return rainy
        most = np.iinfo(image.dtype).max
        return np.rint(rainy * most).clip(0, most).astype(image.dtype)

    def streaks(self, size: Sequence[int], random: np.random.Generator) -> np.ndarray:
        """What is in front of an image of (height, width), float32 in [0, 1]."""
        low, high = (self.layers, self.layers) if isinstance(self.layers, int) else self.layers
        wind = drawn(self.angle, random)
        rain = np.zeros(size, np.float32)
        for _ in range(random.integers(low, high + 1)):
            angle = wind + random.normal(0, drawn(self.spread, random))
            kernel = streak_kernel(drawn(self.length, random), drawn(self.width, random), angle)
            most = drawn(self.brightness, random)
            margin = len(kernel) // 2
            canvas = size[0] + 2 * margin, size[1] + 2 * margin
            is_drop = random.random(canvas, np.float32) < _drawn_logarithm(self.density, random)
            drops = np.zeros(canvas, np.float32)
            drops[is_drop] = random.uniform(most / 2, most, int(is_drop.sum()))
            blurred = cv2.filter2D(drops, -1, kernel, borderType=cv2.BORDER_CONSTANT)
            rain += blurred[margin:margin + size[0], margin:margin + size[1]]
        return rain.clip(0, 1)


def streak_kernel(length: float, width: float, angle: float) -> np.ndarray:
    """A straight streak whose brightest pixels have 1, float32 on a square of an odd side.

    Args:
        length: In pixels, to where it has faded to a half.
        width: In pixels, likewise.
        angle: In degrees from the vertical, towards the right at the top.
    """
    half = math.ceil(length / 2 + width) + 1
    y, x = np.mgrid[-half:half + 1, -half:half + 1]
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    along, across = x * sine - y * cosine, x * cosine + y * sine
    profile = np.exp2(-(2 * across / width)**2) * (length / 2 + .5 - np.abs(along)).clip(0, 1)
    return (profile / profile.max()).astype(np.float32)


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
        return self.degrade(image, random)[1]

    def degrade(self, image: np.ndarray, random: np.random.Generator) -> tuple[int, np.ndarray]:
        """The number of the choice, from 0 on, and what it made of the image."""
        choice = int(random.integers(len(self.choices)))
        for step in self.choices[choice]:
            image = step(image, random)
        return choice, image


def drawn(value: Range, random: np.random.Generator) -> float:
    """The number, or one between the two."""
    return float(random.uniform(*value)) if isinstance(value, Sequence) else float(value)


def _drawn_logarithm(value: Range, random: np.random.Generator) -> float:
    return math.exp(random.uniform(*np.log(value))) if isinstance(value, Sequence) else float(value)
