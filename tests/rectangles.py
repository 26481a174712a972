"""Data sets in COCO's form whose objects are rectangles of one colour for each class, on black."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = np.array([(230, 40, 40), (40, 230, 40), (60, 60, 240), (230, 230, 40), (230, 40, 230)])  # of classes, RGB


def write_rectangles(folder: Path, count: int = 6, seed: int = 0) -> Path:
    """``images`` and ``instances.json``: upright and wide pictures with 1 to 5 rectangles, the second without any."""
    generator = np.random.default_rng(seed)
    (folder / 'images').mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        height, width = ((96, 128), (120, 80), (100, 100))[index % 3]
        picture = np.zeros((height, width, 3), np.uint8)
        for column in range(0 if index == 1 else generator.integers(1, 6)):
            label, cell = generator.integers(5), width // 5
            wide, high = generator.integers(8, cell - 4), generator.integers(12, 40)
            x, y = column * cell + 2, generator.integers(2, height - high - 2)
            picture[y:y + high, x:x + wide] = COLOURS[label]
            box = [int(value) for value in (x, y, wide, high)]
            polygon = [x, y, x + wide, y, x + wide, y + high, x, y + high]
            annotations.append(dict(
                id=len(annotations), image_id=index, category_id=int(label), bbox=box, area=box[2] * box[3], iscrowd=0,
                segmentation=[[float(value) for value in polygon]]))
        Image.fromarray(picture).save(folder / 'images' / f'{index}.png')
        images.append(dict(id=index, file_name=f'{index}.png', height=height, width=width))
    categories = [dict(id=label, name=f'colour {label}') for label in range(5)]
    (folder / 'instances.json').write_text(json.dumps(dict(
        images=images, annotations=annotations, categories=categories)))
    return folder


def pixels_of(image: np.ndarray, label: int) -> np.ndarray:
    """Where an RGB image (H, W, 3) has the colour of a class."""
    return np.abs(image.astype(float) - COLOURS[label]).max(-1) < 90


def assert_boxes_fit(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, slack: float = 1.5) -> None:
    """Every box ends where its colour does, and there is no pixel of a class outside of its boxes.

    Args:
        image: RGB, (H, W, 3).
        boxes: Corners in pixels, (n, 4).
        labels: (n,).
        slack: Pixels by which edges may differ: those that are interpolated have no colour.
    """
    for label in range(5):
        found = pixels_of(image, label)
        inside = np.zeros_like(found)
        for box in boxes[labels == label]:
            x0, y0, x1, y1 = (np.array(box) + (-1, -1, 1, 1)).round().astype(int).clip(min=0)
            inside[y0:y1, x0:x1] = True
            if (box[2:] - box[:2]).min() < 3:  # what is left of it at a border
                continue
            rows, columns = found[y0:y1, x0:x1].nonzero()
            assert len(rows), f'a box of class {label} holds nothing of its colour'
            tight = np.array([x0 + columns.min(), y0 + rows.min(), x0 + columns.max() + 1, y0 + rows.max() + 1])
            assert np.abs(tight - box).max() <= slack, (label, box, tight)
        assert not (found & ~inside).any()
