"""Depth in colours, near ones bright, with a bar that tells them in metres."""
from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from PIL import Image, ImageDraw

from .legend import BACKGROUND, display_factor, display_font_size, load_font

# Inferno of matplotlib (Smith and van der Walt, CC0), whose lightness rises evenly, at 13 even steps.
_INFERNO = np.array([
    (0, 0, 4), (17, 10, 48), (50, 10, 94), (87, 16, 110), (120, 28, 109), (154, 40, 101), (188, 55, 84), (216, 76, 62),
    (237, 105, 37), (249, 142, 9), (251, 182, 26), (244, 223, 83), (252, 255, 164)
], np.float32)
_UNKNOWN = (128, 128, 128)
_TEXT = (32, 32, 32)
_STEPS = (1, 2, 5)  # of the numbers at a bar, times a power of ten
_BAND = 2**18  # pixels that are coloured at once: on the way they take 60 bytes each


def draw_depth(
    depth: np.ndarray,
    near: float | None = None,
    far: float | None = None,
    bar: bool = True,
    unit: str = 'm',
) -> np.ndarray:
    """Colour a map, at equal ratios of depth rather than differences: (H, W, 3) uint8, higher with the bar.

    Args:
        depth: (H, W), positive where it is known; grey elsewhere.
        near, far: What is brightest and darkest; the 1st and the 99th percentile of the map if None, or a little beyond
            the other where that leaves nothing in between.
        bar: Whether a bar with numbers is added below. A map of less than 256 pixels is then enlarged by a whole
            factor.
        unit: Behind the numbers.

    Raises:
        ValueError: ``near`` and ``far`` are not positive, or not in this order.
    """
    least, most = depth_range(depth, near, far)
    colors = _colors(depth, least, most)
    if not bar:
        return colors
    factor = display_factor(*depth.shape)
    colors = colors.repeat(factor, 0).repeat(factor, 1)
    return _with_bar(colors, least, most, unit)


def depth_range(depth: np.ndarray, near: float | None = None, far: float | None = None) -> tuple[float, float]:
    """The depths that are brightest and darkest, see :func:`draw_depth`."""
    for name, value in (('near', near), ('far', far)):
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise ValueError(f'{name}={value!r}: give a depth above 0')
    known = depth[np.isfinite(depth) & (depth > 0)]
    least, most = np.percentile(known, (1, 99)) if len(known) else (1., 2.)
    least, most = (float(most if given is None else given) for given, most in ((near, least), (far, most)))
    if near is not None and far is not None and near >= far:
        raise ValueError(f'near={near} and far={far}: near is the smaller one')
    if near is None and far is not None:
        return min(least, most / 1.02), most
    return least, max(most, least * 1.02)


def _colors(depth: np.ndarray, least: float, most: float) -> np.ndarray:
    height, width = depth.shape
    colors = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND // max(width, 1))
    for top in range(0, height, rows):
        band = depth[top:top + rows]
        known = np.isfinite(band) & (band > 0)
        share = np.log(np.where(known, band, least) / least) / np.log(most / least)
        place = (1 - np.clip(share, 0, 1)) * (len(_INFERNO) - 1)
        below = np.minimum(place.astype(int), len(_INFERNO) - 2)
        weight = (place - below)[..., None].astype(np.float32)
        mixed = _INFERNO[below] * (1 - weight) + _INFERNO[below + 1] * weight
        colors[top:top + rows] = np.where(known[..., None], np.rint(mixed), _UNKNOWN)
    return colors


def _with_bar(colors: np.ndarray, least: float, most: float, unit: str) -> np.ndarray:
    height, width = colors.shape[:2]
    size = display_font_size(height, width)
    font = load_font(size)
    margin, thick = size, size
    long = max(width - 2 * margin, 4 * size)
    panel = Image.new('RGB', (max(width, long + 2 * margin), margin // 2 + thick + 2 * size), (BACKGROUND, ) * 3)
    ramp = np.exp(np.linspace(np.log(least), np.log(most), long))
    strip = np.repeat(_colors(ramp[None], least, most), thick, 0)
    panel.paste(Image.fromarray(strip), (margin, margin // 2))
    draw, last = ImageDraw.Draw(panel), -1e9
    for value in bar_numbers(least, most):
        x = margin + long * np.log(value / least) / np.log(most / least)
        text = f'{value:g} {unit}'
        half = font.getlength(text) / 2
        x_text = float(np.clip(x, half + 2, panel.width - half - 2))
        if x_text - half < last + size / 2:
            continue
        last = x_text + half
        draw.line((x, margin // 2 + thick, x, margin // 2 + thick + size // 3), fill=_TEXT, width=max(1, size // 12))
        draw.text((x_text, margin // 2 + thick + size // 2), text, fill=_TEXT, font=font, anchor='mt')
    padding = ((0, 0), (0, panel.width - width), (0, 0))
    return np.concatenate([np.pad(colors, padding, constant_values=BACKGROUND), np.asarray(panel)])


def bar_numbers(least: float, most: float) -> Sequence[float]:
    """Round numbers within a range, the more of them the shorter it is."""
    for steps in (_STEPS, (1, 1.5, 2, 3, 4, 5, 6, 8), [1 + step / 10 for step in range(90)],
                  [1 + step / 100 for step in range(900)]):
        numbers = [step * 10.**power for power in range(floor(log10(least)), ceil(log10(most)) + 1) for step in steps]
        inside = sorted({float(f'{number:.4g}') for number in numbers if least <= number <= most})
        if len(inside) >= 3:
            return inside
    return inside or [float(f'{least:.3g}')]
