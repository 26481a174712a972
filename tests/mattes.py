"""Pictures of soft discs with exact opacity, in a folder."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (48, 64)  # height and width


def disc(index: int = 0, size: tuple[int, int] = SIZE, soft: float = 6.) -> np.ndarray:
    """(H, W) uint8: an opacity that falls from 255 to 0 around a circle, of another place by the index."""
    y, x = np.mgrid[:size[0], :size[1]]
    row, column = np.random.default_rng(index).uniform(.35, .65, 2) * size
    alpha = np.clip((size[0] / 4 - np.hypot(y - row, x - column)) / soft + .5, 0, 1)
    return np.rint(255 * alpha).astype(np.uint8)


def band(alpha: np.ndarray) -> np.ndarray:
    """(H, W) uint8: a trimap that leaves open what is partly transparent."""
    return np.where(alpha == 0, 0, np.where(alpha == 255, 255, 128)).astype(np.uint8)


def save(values: np.ndarray, path: Path) -> Path:
    """Write a picture, and the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def write_images(folder: Path, count: int = 5, trimaps: bool = False) -> Path:
    """Bright discs on what is dark: ``images/``, ``alpha/`` and maybe ``trimaps/``."""
    for index in range(count):
        alpha = disc(index)
        noise = np.random.default_rng(index).normal(0, 5, (*SIZE, 3))
        image = 40 + 160 * (alpha[..., None] / 255) + noise
        save(image.clip(0, 255).astype(np.uint8), folder / 'images' / f'{index:03}.jpg')
        save(alpha, folder / 'alpha' / f'{index:03}.png')
        if trimaps:
            save(band(alpha), folder / 'trimaps' / f'{index:03}.png')
    return folder


def write_foregrounds(folder: Path, count: int = 5, transparent: bool = False) -> Path:
    """Bright foregrounds, with ``alpha/`` or with transparency, and dark ``backgrounds/``."""
    for index in range(count):
        alpha = disc(index)
        colors = np.full((*SIZE, 3), (200, 160 + 10 * (index % 5), 220), np.uint8)
        if transparent:
            save(np.dstack([colors, alpha]), folder / 'foregrounds' / f'{index:03}.png')
        else:
            save(colors, folder / 'fg' / f'{index:03}.png')
            save(alpha, folder / 'alpha' / f'{index:03}.png')
        shade = np.full((70, 80, 3), 10 + 5 * index, np.uint8)
        save(shade, folder / ('backgrounds' if transparent else 'bg') / f'{index}.jpg')
    return folder
