"""Legend panels: a swatch, a name and a share for each class, in as many columns as the space asks for."""
from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import printable
from .palette import Color

BACKGROUND = 255
TEXT = (32, 32, 32)
_SWATCH_EDGE = (96, 96, 96)
_MAX_NAME_LENGTH = 40
# Beside a legend of readable letters, a smaller picture would be lost.
_MIN_DISPLAY_SIDE = 256


class LegendEntry(NamedTuple):
    name: str
    color: Color
    fraction: float | None  # of the picture's pixels, in [0, 1]; None where a share says nothing, as of boxes
    instances: int | None = None  # shown behind the name

    @property
    def text(self) -> str:
        """The name, not longer than there is room for, and the number of instances."""
        return short_name(self.name) + ('' if self.instances is None else f' ({self.instances:,})')


def add_legend(picture: np.ndarray, entries: list[LegendEntry], font_size: int) -> np.ndarray:
    """Join a picture (H, W, 3) and a legend, below it if it is wide, to its right if not: (H', W', 3) uint8."""
    if not entries:
        return picture
    height, width = picture.shape[:2]
    if width > 1.2 * height:
        return _join(picture, legend_below(entries, font_size, width), axis=0)
    return _join(picture, legend_beside(entries, font_size, height), axis=1)


def display_factor(height: int, width: int) -> int:
    """Tell how many times a picture is enlarged so that a legend does not dwarf it: once from 256 pixels on."""
    return ceil(_MIN_DISPLAY_SIDE / max(height, width))


def display_font_size(height: int, width: int) -> int:
    """Give the size of a legend's letters in pixels, which grows with the picture."""
    return int(np.clip(sqrt(height * width) / 32, 13, 96))


def legend_below(entries: list[LegendEntry], font_size: int, width: int) -> np.ndarray:
    """Draw a panel about ``width`` pixels wide, wider only if one column needs it: (h, w, 3) uint8."""
    columns = (width - font_size) // _column_width(entries, font_size)
    return _draw(entries, font_size, columns=min(max(1, columns), len(entries)))


def legend_beside(entries: list[LegendEntry], font_size: int, height: int) -> np.ndarray:
    """Draw a panel about ``height`` pixels high, higher only if one row needs it: (h, w, 3) uint8."""
    rows = max(1, (height - font_size) // _row_height(font_size))
    return _draw(entries, font_size, columns=ceil(len(entries) / rows))


def percent_text(fraction: float) -> str:
    """Write ``0.123`` as ``'12.3%'``; a share that would round to nothing is ``'<0.1%'``."""
    return '<0.1%' if 0 < fraction < 0.0005 else f'{100 * fraction:.1f}%'


def _draw(entries: list[LegendEntry], font_size: int, columns: int) -> np.ndarray:
    rows = ceil(len(entries) / columns)
    column_width, row_height = _column_width(entries, font_size), _row_height(font_size)
    size = (columns * column_width + font_size, rows * row_height + font_size)
    panel = Image.new('RGB', size, (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(panel)
    for index, entry in enumerate(entries):
        column, row = divmod(index, rows)
        _draw_entry(draw, entry, font_size // 2 + column * column_width, font_size // 2 + row * row_height,
                    column_width, font_size)
    return np.asarray(panel)


def _draw_entry(draw: ImageDraw.ImageDraw, entry: LegendEntry, x: int, y: int, width: int, font_size: int) -> None:
    middle = y + _row_height(font_size) // 2
    half = font_size // 2
    swatch = (x + half, middle - half, x + half + round(1.6 * font_size), middle + half)
    draw.rectangle(swatch, fill=tuple(entry.color), outline=_SWATCH_EDGE, width=max(1, font_size // 16))
    font = load_font(font_size)
    draw.text((swatch[2] + half, middle), entry.text, fill=TEXT, font=font, anchor='lm')
    if entry.fraction is not None:
        draw.text((x + width - font_size, middle), percent_text(entry.fraction), fill=TEXT, font=font, anchor='rm')


def _column_width(entries: list[LegendEntry], font_size: int) -> int:
    font = load_font(font_size)
    widest_name = max(font.getlength(entry.text) for entry in entries)
    share = 0 if all(entry.fraction is None for entry in entries) else font.getlength('100.0%')
    return ceil(widest_name + share + 4.6 * font_size)


def _row_height(font_size: int) -> int:
    return round(1.5 * font_size)


def short_name(name: str) -> str:
    """Write a class's name in printable letters, not longer than there is room for."""
    name = printable(name)
    return name if len(name) <= _MAX_NAME_LENGTH else name[:_MAX_NAME_LENGTH - 1] + '…'


@lru_cache(maxsize=8)
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Load the scalable font that Pillow carries: the same letters on every machine."""
    return ImageFont.load_default(size)


def _join(picture: np.ndarray, panel: np.ndarray, axis: int) -> np.ndarray:
    """Put the panel below (axis 0) or to the right (axis 1) and fill what is left over with background."""
    other = 1 - axis
    length = max(picture.shape[other], panel.shape[other])
    padded = []
    for part in (picture, panel):
        widths = [(0, 0)] * 3
        widths[other] = (0, length - part.shape[other])
        padded.append(np.pad(part, widths, constant_values=BACKGROUND))
    return np.concatenate(padded, axis=axis)
