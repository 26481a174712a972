"""Small data sets in COCO's panoptic and instance form, and damaged copies of their segments."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools

HEIGHT, WIDTH = 48, 64
# Ids in no order, things and stuff among each other.
CATEGORIES = [
    dict(id=7, name='wall', isthing=0), dict(id=2, name='cell', isthing=1), dict(id=31, name='floor', isthing=0),
    dict(id=5, name='rod', isthing=1), dict(id=11, name='dust', isthing=0)]
THINGS = {'cell': 2, 'rod': 5}


def draw(generator: np.random.Generator, with_crowd: bool) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Segment ids (H, W) and their description: two backgrounds, four or five things, some void."""
    ids = np.full((HEIGHT, WIDTH), 70000)
    ids[HEIGHT // 2:] = 300
    segments = [dict(id=70000, category_id=7, iscrowd=0), dict(id=300, category_id=31, iscrowd=0)]
    for index in range(5 if with_crowd else 4):
        height, width = generator.integers(8, 16, 2)
        # One in each of five columns, so that none is hidden.
        y, x = generator.integers(0, HEIGHT - height), 12 * index
        ids[y:y + height, x:x + min(width, 12)] = 1000 + 300 * index
        segments.append(dict(
            id=1000 + 300 * index, category_id=(2, 5)[index % 2], iscrowd=int(index == 4)))
    ids[:5, 60:] = 0
    for segment in segments:
        segment['area'] = int((ids == segment['id']).sum())
    return ids, segments


def to_png(ids: np.ndarray, path: Path) -> None:
    """Ids as colours, red the lowest digit."""
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(path)


def write_coco_like(folder: Path, count: int = 6, seed: int = 0) -> Path:
    """``images``, ``segments`` (PNG), ``panoptic.json`` and ``instances.json``; every second image has a crowd."""
    generator = np.random.default_rng(seed)
    for part in ('images', 'segments'):
        (folder / part).mkdir(parents=True)
    colours = generator.integers(40, 215, (5, 3))
    images, panoptic, instances = [], [], []
    for index in range(count):
        ids, segments = draw(generator, with_crowd=index % 2 == 1)
        picture = generator.normal(0, 8, (HEIGHT, WIDTH, 3))
        for segment in segments:
            label = [category['id'] for category in CATEGORIES].index(segment['category_id'])
            picture[ids == segment['id']] += colours[label]
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / 'images' / f'{index}.jpg')
        to_png(ids, folder / 'segments' / f'{index}.png')
        images.append(dict(id=10 + index, file_name=f'{index}.jpg', height=HEIGHT, width=WIDTH))
        panoptic.append(dict(image_id=10 + index, file_name=f'{index}.png', segments_info=segments))
        for segment in segments:
            if segment['category_id'] in THINGS.values():
                rle = rle_tools.encode(np.asfortranarray(ids == segment['id'], np.uint8))
                instances.append(dict(
                    id=len(instances), image_id=10 + index, category_id=segment['category_id'], area=segment['area'],
                    iscrowd=segment['iscrowd'], bbox=rle_tools.toBbox(rle).tolist(),
                    segmentation=dict(size=list(rle['size']), counts=rle['counts'].decode())))
    things = [category for category in CATEGORIES if category['isthing']]
    for name, entries, categories in (('panoptic', panoptic, CATEGORIES), ('instances', instances, things)):
        (folder / f'{name}.json').write_text(json.dumps(dict(
            images=images, annotations=entries, categories=categories)))
    return folder


def damaged(ids: np.ndarray, segments: list[dict[str, Any]], generator: np.random.Generator, num_classes: int
            ) -> tuple[np.ndarray, list[int]]:
    """A faulty prediction as indices of segments (H, W), -1 for none, and their labels.

    Args:
        segments: With ``id`` and ``category``, the label.
    """
    found, labels = np.full(ids.shape, -1), []
    for index, segment in enumerate(segments):
        inside = ids == segment['id']
        fault = ('none', 'relabelled', 'missed', 'split', 'moved', 'merged')[(index + generator.integers(6)) % 6]
        if fault == 'missed':
            continue
        if fault == 'moved':
            inside = np.roll(inside, generator.integers(1, 6), axis=generator.integers(2))
        label = segment['category'] if fault != 'relabelled' else (segment['category'] + 1) % num_classes
        if fault == 'merged' and labels:
            found[inside] = len(labels) - 1
            continue
        found[inside] = len(labels)
        labels.append(label)
        if fault == 'split':
            column = np.flatnonzero(inside.any(0)).mean()
            found[inside & (np.arange(ids.shape[1]) > column * generator.uniform(.8, 1.2))] = len(labels)
            labels.append(label)
    # Some of what is void in the ground truth, and an invention in the middle of it.
    void = ids == 0
    found[void] = len(labels)
    labels.append(generator.integers(num_classes))
    seen, position = np.unique(found[found >= 0], return_inverse=True)  # later segments may have hidden earlier ones
    found[found >= 0] = position
    return found, [int(labels[index]) for index in seen]
