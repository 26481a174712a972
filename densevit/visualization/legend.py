"""Legend panels: a swatch, a name and a share for each class, in as many columns as the space asks for."""
from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from densevit.errors import printable

from .palette import Color

BACKGROUND = 255
_TEXT = (32, 32, 32)
_SWATCH_EDGE = (96, 96, 96)
_MAX_NAME_LENGTH = 40


class LegendEntry(NamedTuple):
    name: str
    color: Color
    fraction: float  # of the picture's pixels, in [0, 1]
    instances: int | None = None  # shown behind the name

    @property
    def text(self) -> str:
        """The name, not longer than there is room for, and the number of instances."""
        return _shorten(printable(self.name)) + ('' if self.instances is None else f' ({self.instances:,})')


def legend_below(entries: list[LegendEntry], font_size: int, width: int) -> np.ndarray:
    """A panel about ``width`` pixels wide, wider only if one column needs it: (h, w, 3) uint8."""
    columns = (width - font_size) // _column_width(entries, font_size)
    return _draw(entries, font_size, columns=min(max(1, columns), len(entries)))


def legend_beside(entries: list[LegendEntry], font_size: int, height: int) -> np.ndarray:
    """A panel about ``height`` pixels high, higher only if one row needs it: (h, w, 3) uint8."""
    rows = max(1, (height - font_size) // _row_height(font_size))
    return _draw(entries, font_size, columns=ceil(len(entries) / rows))


def percent_text(fraction: float) -> str:
    """``0.123`` -> ``'12.3%'``; a share that would round to nothing is ``'<0.1%'``."""
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
    font = _font(font_size)
    draw.text((swatch[2] + half, middle), entry.text, fill=_TEXT, font=font, anchor='lm')
    draw.text((x + width - font_size, middle), percent_text(entry.fraction), fill=_TEXT, font=font, anchor='rm')


def _column_width(entries: list[LegendEntry], font_size: int) -> int:
    font = _font(font_size)
    widest_name = max(font.getlength(entry.text) for entry in entries)
    return ceil(widest_name + font.getlength('100.0%') + 4.6 * font_size)


def _row_height(font_size: int) -> int:
    return round(1.5 * font_size)


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else name[:_MAX_NAME_LENGTH - 1] + '…'


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The scalable font that Pillow carries: the same letters on every machine.
    return ImageFont.load_default(size)
