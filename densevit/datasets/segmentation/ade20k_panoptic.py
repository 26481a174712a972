"""ADE20K's label maps and instances (the challenges of 2016 and 2017) as panoptic annotations in COCO's form."""
from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import ADE20KDataset
from PIL import Image

from ...files import write_atomic
from ..common.coco_json import AnnotationError
from ..common.locate import MissingDataError
from .panoptic import ADE20K_STUFF

SPLITS = dict(train='training', val='validation')
THINGS = [label for label in range(150) if label not in ADE20K_STUFF]  # by the class of the instance files, from 1


def convert_split(root: Path, split: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write ``ade20k_panoptic_<split>.json`` and a folder of PNG files of that name into the root.

    Args:
        root: The folder that holds ``images``, ``annotations`` and ``annotations_instance``, and in each of them
            ``training`` and ``validation``.
        split: ``'train'`` or ``'val'``.
        progress: What is called after each image with the number of images done and of all.

    Raises:
        MissingDataError: A folder or a file is missing.
        AnnotationError: An instance file does not fit its label map.
    """
    folders = [root / kind / SPLITS[split] for kind in ('images', 'annotations', 'annotations_instance')]
    for folder in folders:
        if not folder.is_dir():
            raise MissingDataError(f'{folder} is missing: unpack ADEChallengeData2016.zip, and '
                                   'annotations_instance.tar into it; data/README.md has their addresses')
    pictures = sorted(folders[0].glob('*.jpg'))
    images, annotations = [], []
    for index, picture in enumerate(pictures):
        name = f'{picture.stem}.png'
        semantic, instances = (_read(folder / name) for folder in folders[1:])
        ids, segments = panoptic_segments(semantic, instances, str(folders[2] / name))
        _write_ids(ids, root / f'ade20k_panoptic_{split}' / name)
        images.append(dict(id=picture.stem, file_name=picture.name, height=ids.shape[0], width=ids.shape[1]))
        annotations.append(dict(image_id=picture.stem, file_name=name, segments_info=segments))
        if progress is not None:
            progress(index + 1, len(pictures))
    path = root / f'ade20k_panoptic_{split}.json'
    categories = [dict(id=label, name=name, isthing=int(label not in ADE20K_STUFF), color=list(colour))
                  for label, (name, colour) in enumerate(zip(*_meta(), strict=True))]
    write_atomic(json.dumps(dict(images=images, annotations=annotations, categories=categories)).encode(), path)
    return path


def panoptic_segments(semantic: np.ndarray, instances: np.ndarray, where: str = 'the instances'
                      ) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Segment ids (H, W) from 1, and the segments; things without an instance are void.

    Args:
        semantic: Label map (H, W), 0 for none and 1 to 150.
        instances: Picture (H, W, 3) of the class in the instance challenge, 1 to 100, and the number of the instance,
            0 for none.
        where: The name of the instances in messages.

    Raises:
        AnnotationError: The sizes differ, or an instance has no class or two.
    """
    if instances.ndim != 3 or instances.shape[:2] != semantic.shape:
        raise AnnotationError(f'{where} is of shape {instances.shape} and its label map of {semantic.shape}: both must '
                              'be of one height and width, and the first an RGB picture')
    ids = np.zeros(semantic.shape, np.int64)
    segments: list[dict[str, Any]] = []
    for label, inside in _masks(semantic, instances, where):
        ids[inside] = len(segments) + 1
        segments.append(dict(id=len(segments) + 1, category_id=label, iscrowd=0))
    seen, areas = np.unique(ids, return_counts=True)  # an instance may cover all of a stuff segment
    area = dict(zip(seen.tolist(), areas.tolist(), strict=True))
    return ids, [dict(segment, area=area[segment['id']]) for segment in segments if segment['id'] in area]


def _masks(semantic: np.ndarray, instances: np.ndarray, where: str) -> Iterator[tuple[int, np.ndarray]]:
    for value in np.unique(semantic).tolist():
        if value - 1 in ADE20K_STUFF:
            yield value - 1, semantic == value
    for number in np.unique(instances[..., 1]).tolist():
        if not number:
            continue
        inside = instances[..., 1] == number
        classes = np.unique(instances[..., 0][inside]).tolist()
        if len(classes) != 1 or not 0 < classes[0] <= len(THINGS):
            raise AnnotationError(f'{where}: instance {number} is of classes {classes}, but each has one of 1 to '
                                  f'{len(THINGS)}: download the file again')
        yield THINGS[classes[0] - 1], inside


def _meta() -> tuple[list[str], list[list[int]]]:
    return ADE20KDataset.METAINFO['classes'], ADE20KDataset.METAINFO['palette']


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingDataError(f'{path} is missing, and its image is there: unpack the archives again')
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:  # of Pillow, without a remedy
        raise AnnotationError(f'{path} cannot be read as a picture: unpack the archives again') from error


def _write_ids(ids: np.ndarray, path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(buffer, 'PNG')
    write_atomic(buffer.getvalue(), path)
