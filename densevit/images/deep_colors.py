"""Colours of 16 bits to sRGB by profiles that are formulas: Pillow hands LittleCMS no more than 8 bits."""
from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import ImageCms

from .colors import ProfileError, changes_colors

_MOST = 65535
_PIXELS_AT_ONCE = 2**20  # whose floats are in memory
# Formulas of a parametric curve (ICC.1:2022, table 68): which of g, a, b, c, d, e, f a type has, in order.
_PARAMETERS = ('g', 'gab', 'gabc', 'gabcd', 'gabcdef')


class TableProfileError(ProfileError):
    """A colour profile that is no formula, of which 16 bits would need LittleCMS itself."""


class _MatrixProfile(NamedTuple):
    """Light of a picture's values.

    Attributes:
        curves: (channels, 65536) float32, light in [0, 1] of each value of 16 bits; three channels, or one of grey.
        matrix: (3, 3) float64 from light to XYZ relative to D50; None of grey.
    """
    curves: np.ndarray
    matrix: np.ndarray | None


def deep_to_srgb(pixels: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert from a file's ICC profile as :func:`to_srgb` does, in single precision.

    Args:
        pixels: (H, W) grey or (H, W, 3) RGB, uint16.
        profile: The content of the ICC profile: curves and a matrix (ICC.1:2022, F.3), or of grey a curve (F.2).

    Returns:
        The shape and type of ``pixels``; the array itself where the profile is sRGB to a rounding error.

    Raises:
        TableProfileError: The profile is one of tables.
        ProfileError: It is damaged, or of another colour space than the picture.
    """
    is_grey = pixels.ndim == 2
    if not changes_colors(profile, 'L' if is_grey else 'RGB'):
        return pixels
    source = _read(profile)
    if source is None or (source.matrix is None) != is_grey:
        raise TableProfileError('its colour profile is one of tables, by which 16 bits are not converted here')
    # Of 0, by which a picture is made darker so that its black is black.
    black = np.float32(source.curves[0][0] if is_grey else source.matrix[1] @ source.curves[:, 0])
    converted = np.empty_like(pixels)
    step = max(1, _PIXELS_AT_ONCE // pixels.shape[1])
    for top in range(0, len(pixels), step):
        rows = pixels[top:top + step]
        if is_grey:
            light = source.curves[0][rows]
        else:
            light = np.stack([curve[rows[..., channel]] for channel, curve in enumerate(source.curves)], -1)
            light = light @ (np.linalg.inv(_srgb().matrix) @ source.matrix).T.astype(np.float32)
        light = (light - black) / (1 - black)
        converted[top:top + step] = np.rint(_srgb_value(light.clip(0, 1)) * _MOST)
    return converted


@cache
def _srgb() -> _MatrixProfile:
    return _read(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())


def _srgb_value(light: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: what a screen is given for light in [0, 1]."""
    return np.where(light <= .0031308, 12.92 * light, 1.055 * light**np.float32(1 / 2.4) - .055)


@lru_cache(maxsize=16)
def _read(profile: bytes) -> _MatrixProfile | None:
    """None of a profile of tables, which LittleCMS prefers to a matrix where there are both.

    Raises:
        ProfileError: It is damaged.
    """
    try:
        tags = {name: (start, size) for name, start, size in struct.iter_unpack(
            '>4sII', profile[132:132 + 12 * struct.unpack_from('>I', profile, 128)[0]])}
        names = [b'kTRC'] if profile[16:20] == b'GRAY' else [b'rTRC', b'gTRC', b'bTRC']
        if any(name[:3] == b'A2B' for name in tags) or not tags.keys() >= {*names} or profile[20:24] != b'XYZ ':
            return None
        with np.errstate(all='ignore'):
            curves = np.stack([_curve(profile[start:start + size]) for start, size in map(tags.__getitem__, names)])
        if len(names) == 1:
            return _MatrixProfile(curves, None)
        columns = [struct.unpack_from('>3i', profile, tags[name][0] + 8) for name in (b'rXYZ', b'gXYZ', b'bXYZ')]
        return _MatrixProfile(curves, np.array(columns).T / 65536)
    except (struct.error, KeyError, ValueError, IndexError) as error:
        raise ProfileError('its colour profile is damaged') from error


def _curve(tag: bytes) -> np.ndarray:
    """(65536,) float32: light of each value of 16 bits.

    Raises:
        ValueError: It is no curve.
    """
    x = np.linspace(0, 1, _MOST + 1)
    if tag[:4] == b'curv':
        count = struct.unpack_from('>I', tag, 8)[0]
        values = np.frombuffer(tag, '>u2', count, 12)
        if count > 1:
            return np.interp(x, np.linspace(0, 1, count), values / _MOST).astype(np.float32)
        return (x**(values[0] / 256) if count else x).astype(np.float32)
    if tag[:4] != b'para':
        raise ValueError('neither a curve of samples nor one of parameters')
    names = _PARAMETERS[struct.unpack_from('>H', tag, 8)[0]]
    given = dict(zip(names, (value / 65536 for value in struct.unpack_from(f'>{len(names)}i', tag, 12)), strict=True))
    g, a, b, c, d, e, f = (given.get(name, default) for name, default in zip('gabcdef', (1, 1, 0, 0, 0, 0, 0),
                                                                             strict=True))
    power = np.maximum(a * x + b, 0)**g
    values = np.where(a * x + b >= 0, power, 0) + c
    if len(names) > 4:
        values = np.where(x >= d, power + e, c * x + f)
    if not np.isfinite(values).all():
        raise ValueError('a curve without values')
    return values.clip(0, 1).astype(np.float32)
