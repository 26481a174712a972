"""Pictures of a wall and a box before it, with exact depth, in a folder."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from densevit.datasets.depth.depth_files import depth_npy, depth_pfm, depth_png

SIZE = (48, 64)  # height and width
SAVE: dict[str, Callable[[np.ndarray, Path], None]] = dict(
    png=lambda depth, path: depth_png(depth).save(path.with_suffix('.png')),
    npy=lambda depth, path: path.with_suffix('.npy').write_bytes(depth_npy(depth)),
    pfm=lambda depth, path: path.with_suffix('.pfm').write_bytes(depth_pfm(depth)) and None)


def room(index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8, brighter where nearer, and its metres (H, W) with unknown ones, 0, at the border."""
    generator = np.random.default_rng(index)
    depth = np.full(SIZE, 4., np.float32)
    top, left = generator.integers(4, 20, 2)
    depth[top:top + 20, left:left + 24] = 1.5
    image = np.repeat((60 * 4 / depth)[..., None], 3, 2) + generator.normal(0, 4, (*SIZE, 3))
    depth[:, :2] = 0
    return image.clip(0, 255).astype(np.uint8), depth


def write_rooms(folder: Path, count: int = 5, form: str = 'png', images: str = 'images', depth: str = 'depth') -> Path:
    """``count`` rooms with their depth."""
    (folder / images).mkdir(parents=True)
    (folder / depth).mkdir(parents=True)
    for index in range(count):
        picture, metres = room(index)
        Image.fromarray(picture).save(folder / images / f'{index:03}.jpg')
        SAVE[form](metres, folder / depth / f'{index:03}')
    return folder
