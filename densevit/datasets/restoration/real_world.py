"""What happens to pictures in the world, drawn at random twice over (Real-ESRGAN, Wang et al., arXiv:2107.10833)."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy.special import j1

from ...registry import TRANSFORMS
from .degradations import JPEGCompression, checked, crop_to_multiple, drawn, to_eight_bits, to_unit

Random = np.random.Generator
_KERNEL_SIZES = tuple(range(7, 22, 2))
_FULL_SIZE = 21  # of the last sinc kernel
_INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
# Section 3.1 and the supplement: how likely kernels are isotropic or not, Gaussian, generalised or plateau-like.
_SHAPES = (('gaussian', True), ('gaussian', False), ('generalised', True), ('generalised', False), ('plateau', True),
           ('plateau', False))
_SHAPE_SHARES = (.45, .25, .12, .03, .12, .03)
_BETAS = dict(generalised=(.5, 4.), plateau=(1., 2.))
_SINC_SHARE, _LAST_SINC_SHARE = .1, .8
_GREY_SHARE = .4  # of noise


class Order(NamedTuple):
    """One round of the four: blur, resize, noise, JPEG.

    Attributes:
        blur_share: How often there is blur.
        sigma: Range of its deviation in pixels.
        directions: How often the image is enlarged, made smaller and left in its size.
        resize: Range of the factor, whose ends are of the first two.
        noise: Range of the deviation of Gaussian noise on the scale of 8 bits.
        poisson: Range of the strength of Poisson noise.
        quality: Range of JPEG's quality.
    """
    blur_share: float = 1.
    sigma: tuple[float, float] = (.2, 3.)
    directions: tuple[float, float, float] = (.2, .7, .1)
    resize: tuple[float, float] = (.15, 1.5)
    noise: tuple[float, float] = (1., 30.)
    poisson: tuple[float, float] = (.05, 3.)
    quality: tuple[float, float] = (30., 95.)


FIRST = Order()
SECOND = Order(.8, (.2, 1.5), (.3, .4, .3), (.3, 1.2), (1., 25.), (.05, 2.5), (30., 95.))


@TRANSFORMS.register_module()
class SecondOrderDegradation:
    """Real-ESRGAN's pipeline: blur, resize, noise and JPEG, twice; then a sinc filter and JPEG in either order.

    The numbers are those of the paper's supplement and of its authors' options. The image becomes one of 8 bits, an
    exact share of its size.

    Args:
        scale: How many times smaller the image is made.
        orders: The rounds.
    """

    def __init__(self, scale: int, orders: Sequence[Order | Sequence] = (FIRST, SECOND)) -> None:
        self.scale, self.orders = scale, [Order(*order) for order in orders]

    def __call__(self, image: np.ndarray, random: Random) -> np.ndarray:
        image = to_unit(crop_to_multiple(image, self.scale))
        size = image.shape[0] // self.scale, image.shape[1] // self.scale
        for index, order in enumerate(self.orders):
            if random.random() < order.blur_share:
                image = filtered(image, blur_kernel(order.sigma, random))
            image = _resized(image, order, size if index else None, random)
            image = noisy(image, order, random)
            if index + 1 < len(self.orders):
                image = to_unit(JPEGCompression(order.quality)(image, random))
        steps: list[Callable[[np.ndarray], np.ndarray]] = [
            lambda image: filtered(_to_size(image, size, random), last_kernel(random)),
            lambda image: to_unit(JPEGCompression(self.orders[-1].quality)(image, random))]
        for step in steps if random.random() < .5 else steps[::-1]:
            image = step(image)
        return to_eight_bits(image)


@TRANSFORMS.register_module()
class GaussianBlur:
    """Isotropic Gaussian blur.

    Args:
        sigma: Its deviation in pixels; a pair of numbers for one that is drawn evenly between them.

    Raises:
        ValueError: It is below .01, where nothing is blurred, or the pair descends.
    """

    def __init__(self, sigma: float | Sequence[float]) -> None:
        self.sigma = checked(sigma, 'sigma of GaussianBlur', .01)

    def __call__(self, image: np.ndarray, random: Random) -> np.ndarray:
        sigma = drawn(self.sigma, random)
        blurred = filtered(to_unit(image), gaussian_kernel(2 * math.ceil(3 * sigma) + 1, sigma, sigma, 0.))
        return to_eight_bits(blurred) if image.dtype == np.uint8 else blurred


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image convolved with a symmetric kernel, mirrored at its borders, in [0, 1]."""
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101).reshape(image.shape).clip(0, 1)


def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, angle: float, shape: str = 'gaussian', beta: float = 1.
                    ) -> np.ndarray:
    """A kernel of sum 1: Gaussian, ``exp(-q ** beta / 2)`` (generalised) or ``1 / (1 + q ** beta)`` (plateau).

    ``q`` is the squared distance from the centre in deviations, along axes turned by ``angle``.
    """
    offsets = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(offsets, offsets, indexing='ij')
    along, across = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
    distance = (along / sigma_x)**2 + (across / sigma_y)**2
    kernel = 1 / (1 + distance**beta) if shape == 'plateau' else np.exp(-.5 * distance**beta)
    return kernel / kernel.sum()


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """A circular low-pass filter of a cut-off frequency in radians, which rings as sharpened pictures do (eq. 7)."""
    offsets = np.arange(size) - (size - 1) / 2
    radius = np.hypot(*np.meshgrid(offsets, offsets, indexing='ij'))
    with np.errstate(divide='ignore', invalid='ignore'):
        kernel = cutoff * j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[radius == 0] = cutoff**2 / (4 * math.pi)
    return kernel / kernel.sum()


def blur_kernel(sigma: tuple[float, float], random: Random) -> np.ndarray:
    """A kernel of one of the shapes of the paper, of 7 to 21 pixels."""
    size = int(random.choice(_KERNEL_SIZES))
    if random.random() < _SINC_SHARE:
        return _drawn_sinc(size, random)
    shape, isotropic = _SHAPES[random.choice(len(_SHAPES), p=_SHAPE_SHARES)]
    sigma_x = random.uniform(*sigma)
    sigma_y, angle = (sigma_x, 0.) if isotropic else (random.uniform(*sigma), random.uniform(-math.pi, math.pi))
    beta = 1.
    if shape in _BETAS:
        low, high = _BETAS[shape]
        beta = random.uniform(low, 1) if random.random() < .5 else random.uniform(1, high)
    return gaussian_kernel(size, sigma_x, sigma_y, angle, shape, beta)


def last_kernel(random: Random) -> np.ndarray:
    """The sinc kernel behind all, or one that changes nothing."""
    if random.random() < _LAST_SINC_SHARE:
        return sinc_kernel(int(random.choice(_KERNEL_SIZES)), random.uniform(math.pi / 3, math.pi))
    kernel = np.zeros((_FULL_SIZE, _FULL_SIZE))
    kernel[_FULL_SIZE // 2, _FULL_SIZE // 2] = 1
    return kernel


def _drawn_sinc(size: int, random: Random) -> np.ndarray:
    # A small kernel cannot hold a low frequency.
    return sinc_kernel(size, random.uniform(math.pi / (3 if size < 13 else 5), math.pi))


def _resized(image: np.ndarray, order: Order, base: tuple[int, int] | None, random: Random) -> np.ndarray:
    """By a factor of the image's size or, in later rounds, of the size that it will have."""
    low, high = order.resize
    direction = random.choice(3, p=order.directions)
    factor = (random.uniform(1, high), random.uniform(low, 1), 1.)[direction]
    height, width = base or image.shape[:2]
    return _to_size(image, (max(1, int(height * factor)), max(1, int(width * factor))), random)


def _to_size(image: np.ndarray, size: tuple[int, int], random: Random) -> np.ndarray:
    resized = cv2.resize(image, size[::-1], interpolation=int(random.choice(_INTERPOLATIONS)))
    return resized.reshape(*size, *image.shape[2:]).clip(0, 1)


def noisy(image: np.ndarray, order: Order, random: Random) -> np.ndarray:
    """With Gaussian or Poisson noise, of its own for each channel or one for all."""
    grey = image.ndim == 3 and random.random() < _GREY_SHARE
    if random.random() < .5:
        shape = (*image.shape[:2], 1) if grey else image.shape
        noise = random.normal(0, random.uniform(*order.noise) / 255, shape)
    else:
        source = image.mean(2, keepdims=True) if grey else image
        levels = 2**math.ceil(math.log2(max(2, len(np.unique(to_eight_bits(source))))))
        noise = (random.poisson(source * levels) / levels - source) * random.uniform(*order.poisson)
    return (image + noise).clip(0, 1).astype(np.float32)
