"""Colours for classes that stay apart for colour-blind eyes, and on screens, and over photographs."""
from __future__ import annotations

from functools import lru_cache

import numpy as np

Color = tuple[int, int, int]

# Okabe & Ito, "Color Universal Design", 2008. Without black, which reads as a hole in the picture, and without sky
# blue, which over a dark part of a photograph looks as blue does over a light one.
_OKABE_ITO = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (240, 228, 66))

# Machado, Oliveira & Fernandes, "A physiologically-based model for simulation of color vision deficiency",
# IEEE TVCG 15(6), 2009, table 1, severity 1.0. They act on linear RGB.
_NORMAL = np.eye(3)
_PROTANOPIA = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]])
_DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                          [-0.011820, 0.042940, 0.968881]])

# Ottosson, "A perceptual color space for image processing", 2020: linear RGB -> cone responses -> Oklab.
_RGB_TO_LMS = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                        [0.0883024619, 0.2817188376, 0.6299787005]])
_LMS_TO_OKLAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                          [0.0259040371, 0.7827717662, -0.8086757660]])

# Darker or lighter than this, a half-transparent region no longer shows its colour. Oklab lightness in [0, 1].
_LIGHTNESS_RANGE = (0.45, 0.93)
# Less colourful than this, a region looks like untinted photograph. Oklab chroma.
_MIN_CHROMA = 0.06
# Under a tint the photograph's own light and shade remain, so lightness tells two tints apart less well than hue. Who
# sees fewer hues depends on lightness: there it counts in full.
_LIGHTNESS_WEIGHTS = (0.5, 1.0, 1.0)  # normal vision, protanopia, deuteranopia
# Of about a thousand candidates, how many nearest ones pass for a colour.
_VICINITY = 100


@lru_cache(maxsize=32)
def default_palette(num_classes: int) -> tuple[Color, ...]:
    """Choose an RGB colour for each class, the same at every call: six of Okabe and Ito's, then ever finer choices.

    Each further colour is the one farthest from all before it, where the distance of two colours is the smallest of
    their Oklab distances as seen with normal, protanopic and deuteranopic vision. A longer palette begins with the
    shorter one as long as both have at most about thirteen hundred colours.

    Raises:
        ValueError: ``num_classes`` is negative or above 10,000.
    """
    if not 0 <= num_classes <= 10_000:
        raise ValueError(f'num_classes must lie in 0..10000, got {num_classes}')
    if num_classes <= len(_OKABE_ITO):
        return _OKABE_ITO[:num_classes]
    return _farthest_first(np.array(_OKABE_ITO), _candidates(num_classes), num_classes)


@lru_cache(maxsize=512)
def shades(color: Color, count: int) -> tuple[Color, ...]:
    """Choose colours that pass for one and can be told apart: the colour itself, then its vicinity, farthest first."""
    candidates = _candidates(count)
    first = np.array([color])
    distances = np.linalg.norm(oklab(candidates) - oklab(first), axis=-1)
    vicinity = candidates[np.argsort(distances, kind='stable')[:_VICINITY]]
    return _farthest_first(first, vicinity[(vicinity != first).any(-1)], count)


def simulate_dichromacy(colors: np.ndarray, kind: str) -> np.ndarray:
    """Show colours as a dichromat sees them.

    Args:
        colors: (..., 3) RGB in 0..255.
        kind: ``'protanopia'`` or ``'deuteranopia'``.

    Returns:
        (..., 3) float RGB in 0..255.
    """
    matrix = {'protanopia': _PROTANOPIA, 'deuteranopia': _DEUTERANOPIA}[kind]
    linear = np.clip(_linear(colors) @ matrix.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear**(1 / 2.4) - 0.055)


def oklab(colors: np.ndarray) -> np.ndarray:
    """Convert (..., 3) RGB in 0..255 to (..., 3) Oklab: lightness in [0, 1], then green-red and blue-yellow."""
    return _oklab_of_linear(_linear(colors))


def relative_luminance(color: Color) -> float:
    """Compute the luminance in [0, 1] as WCAG 2 defines it."""
    return float(_linear(np.array(color)) @ np.array([0.2126, 0.7152, 0.0722]))


def text_color(background: Color) -> Color:
    """Choose black or white, whichever has the higher WCAG contrast on the background."""
    luminance = relative_luminance(background)
    return (0, 0, 0) if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else (255, 255, 255)


def _farthest_first(first: np.ndarray, candidates: np.ndarray, count: int) -> tuple[Color, ...]:
    """Begin with (F, 3) colours and add the candidate farthest from those that are chosen, up to ``count`` in all."""
    colors = np.concatenate([first, candidates])
    seen = _as_seen(colors)  # (3 visions, colours, 3)
    chosen = list(range(len(first)))
    nearest = np.min([_distances(seen, i) for i in chosen], axis=0)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(seen, chosen[-1]))
        nearest[chosen[-1]] = -1  # never twice, even where simulated colours coincide
    return tuple(tuple(int(v) for v in colors[i]) for i in chosen)


def _candidates(count: int) -> np.ndarray:
    """Lay a grid over the RGB cube with at least ``count`` colours of medium lightness, (M, 3)."""
    steps = 12
    while True:
        axis = np.rint(np.linspace(0, 255, steps)).astype(int)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), axis=-1).reshape(-1, 3)
        lightness, green_red, blue_yellow = oklab(grid).T
        visible = (lightness > _LIGHTNESS_RANGE[0]) & (lightness < _LIGHTNESS_RANGE[1])
        grid = grid[visible & (np.hypot(green_red, blue_yellow) > _MIN_CHROMA)]
        grid = grid[~(grid[:, None] == np.array(_OKABE_ITO)).all(-1).any(-1)]
        if len(grid) >= count:
            return grid
        steps *= 2


def _as_seen(colors: np.ndarray) -> np.ndarray:
    """Convert (M, 3) RGB to (3, M, 3) Oklab as normal, protanopic and deuteranopic eyes see it, lightness weighted."""
    linear = _linear(colors)
    visions = (_NORMAL, _PROTANOPIA, _DEUTERANOPIA)
    seen = np.stack([_oklab_of_linear(np.clip(linear @ matrix.T, 0, 1)) for matrix in visions])
    seen[..., 0] *= np.array(_LIGHTNESS_WEIGHTS)[:, None]
    return seen


def _distances(seen: np.ndarray, index: int) -> np.ndarray:
    """Measure the distance of every colour to one of them, the smallest over the visions: (V, M, 3) to (M,)."""
    return np.linalg.norm(seen - seen[:, index:index + 1], axis=-1).min(axis=0)


def _linear(colors: np.ndarray) -> np.ndarray:
    srgb = np.asarray(colors, dtype=np.float64) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055)**2.4)


def _oklab_of_linear(linear: np.ndarray) -> np.ndarray:
    return np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_OKLAB.T
