"""How a large picture is cut into tiles of its own resolution, which a model sees one by one."""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from numbers import Real
from typing import Any

import numpy as np

from ..layers.tiles import window_origins

# A patch, and a cell of the coarsest map, has up to 32 pixels: less than one shows a model nothing.
MIN_SIDE = 32


@dataclass(frozen=True)
class Tiling:
    """Tiles of one size that cover a picture, and what each shares with the next.

    Attributes:
        size: Height and width of a tile in pixels; a picture that is shorter has tiles of its own height or width. None
            for as large ones as memory suffices for, which are to be told before tiles are laid.
        overlap: The least share of its height and width that a tile has in common with its neighbour, in [0, 1). What
            is smaller than that lies wholly in some tile.
        whole_picture: Whether the picture is predicted as a whole as well: tiles cut what is larger than they are.
    """

    size: tuple[int, int] | None
    overlap: float = .2
    whole_picture: bool = True

    @classmethod
    def of(cls, tiles: Any, overlap: Any, whole_picture: Any) -> Tiling:
        """The tiling that a user's options mean: one number as ``tiles`` is height and width, ``'auto'`` no size.

        Raises:
            ValueError: An option makes no sense; the message says what to give.
        """
        size = tuple(tiles) if isinstance(tiles, list | tuple) else (tiles, tiles)
        if tiles == 'auto':
            size = None
        elif len(size) != 2 or any(type(side) is not int or side < MIN_SIDE for side in size):
            raise ValueError(f'tiles={tiles!r}: give the height and width of a tile in pixels, {MIN_SIDE} or more, as '
                             'tiles=(640, 640) (--tiles 640 640)')
        if isinstance(overlap, bool) or not isinstance(overlap, Real) or not 0 <= overlap < 1:
            raise ValueError(f'overlap={overlap!r}: give the share of a tile that its neighbour has as well, from 0 '
                             'to below 1, as overlap=0.2 (--overlap 0.2)')
        if not isinstance(whole_picture, bool):
            raise ValueError(f'whole_picture={whole_picture!r}: give True or False')
        return cls(size, float(overlap), whole_picture)

    def tile_of(self, picture: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the tiles of a picture of (H, W) pixels."""
        return min(self.size[0], picture[0]), min(self.size[1], picture[1])

    def corners(self, picture: tuple[int, int]) -> list[tuple[int, int]]:
        """Top and left of each tile of a picture of (H, W) pixels, row by row: one of a picture that a tile holds."""
        tops, lefts = (
            window_origins(length, side, overlap=min(ceil(self.overlap * side), side - 1))
            for length, side in zip(picture, self.tile_of(picture), strict=True))
        return [(top, left) for top in tops for left in lefts]


def fading(height: int, width: int) -> np.ndarray:
    """Weights (h, w) float32 of a tile's maps: 1 in its middle, falling to its borders, above 0 everywhere."""
    rows, columns = (np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) / ((side + 1) / 2)
                     for side in (height, width))
    return (rows[:, None] * columns).astype(np.float32)
