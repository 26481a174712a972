"""Whether one sees where the tiles of a picture were joined."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def seam_lines(
    corners: Iterable[tuple[int, int]],
    tile: tuple[int, int],
    picture: tuple[int, int],
    scale: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Where tiles begin and end within a picture that is joined of them.

    Args:
        corners: Top and left of each tile in pixels of the picture.
        tile: Height and width of a tile.
        picture: Height and width of the picture.
        scale: How many times larger the joined picture is.

    Returns:
        Rows and columns, int64, of the joined picture: the border is between such a row and the one before it.
    """
    tops, lefts = zip(*corners, strict=True)
    return tuple(np.array(sorted({scale * edge for start in starts for edge in (start, start + side)
                                  if 0 < edge < length}), np.int64)
                 for starts, side, length in zip((tops, lefts), tile, picture, strict=True))


def seam_energy(
    image: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    columns: Sequence[int] | np.ndarray,
    whole: np.ndarray | None = None,
) -> float:
    """The mean step between neighbouring pixels across seams, as a multiple of that elsewhere.

    Near 1 where seams are not to be seen. A picture has stronger edges in some places than in others: ``whole``, the
    same picture made without tiles, tells how strong they are at the seams, and the figure is relative to its own.

    Args:
        image: (H, W) or (H, W, C), of any type of numbers.
        rows, columns: Of seams, see :func:`seam_lines`.
        whole: Of the shape of ``image``.

    Raises:
        ValueError: There is no seam, or nothing beside seams; or the shapes differ.
    """
    if whole is None:
        return _ratio(image, rows, columns)
    if whole.shape != image.shape:
        raise ValueError(f'the picture of tiles has the shape {image.shape} and the whole one {whole.shape}: compare '
                         'one picture')
    return _ratio(image, rows, columns) / _ratio(whole, rows, columns)


def _ratio(image: np.ndarray, rows: Sequence[int] | np.ndarray, columns: Sequence[int] | np.ndarray) -> float:
    totals, counts = np.zeros(2), np.zeros(2)  # elsewhere, at seams
    for axis, lines in enumerate((rows, columns)):
        steps = np.abs(np.diff(image.astype(np.float32), axis=axis)).astype(np.float64)
        means = steps.mean(tuple(other for other in range(image.ndim) if other != axis))  # of each line
        at_seam = np.isin(np.arange(1, image.shape[axis]), lines)
        weight = steps.size / max(1, len(means))
        for index, chosen in enumerate((~at_seam, at_seam)):
            totals[index] += weight * means[chosen].sum()
            counts[index] += weight * chosen.sum()
    if not counts.all():
        raise ValueError('there is no seam in the picture, or nothing else: give smaller tiles or a larger picture')
    elsewhere, at_seams = totals / counts
    return float(at_seams / elsewhere) if elsewhere else (1. if not at_seams else float('inf'))
