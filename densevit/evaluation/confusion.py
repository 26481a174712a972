"""Which class detections have where there is an object of a class, or none: a table, a picture and a CSV file."""
from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

BACKGROUND = 'background'
_LONGEST_NAME = 24
_MOST_WITH_NUMBERS = 30  # classes; cells of more are too small for them


def confusion_matrix(truth: Mapping[str, Any], found: Sequence[Mapping[str, Any]], key: str, min_score: float,
                     min_iou: float = .5) -> np.ndarray:
    """Count detections by the class of the object that they overlap most and by their own: (K + 1, K + 1) integers.

    Rows are objects and columns detections; the last row has the detections without an object and the last column the
    objects without a detection. In each image the detections take their objects in the order of falling scores,
    whatever the class, and an object is taken once. A detection without an object that lies in a crowd is not counted,
    nor are crowds.

    Args:
        truth: ``annotations`` and ``categories`` in COCO's form; categories have the ids 1 to K.
        found: Detections in COCO's form.
        key: What overlaps: ``'bbox'`` or ``'segmentation'`` (RLE).
        min_score: Detections below do not count.
        min_iou: The least intersection over union with an object, and the least share within a crowd.
    """
    background = len(truth['categories'])
    counts = np.zeros((background + 1, background + 1), int)
    objects, detections = defaultdict(list), defaultdict(list)
    for annotation in truth['annotations']:
        objects[annotation['image_id']].append(annotation)
    for detection in found:
        if detection['score'] >= min_score:
            detections[detection['image_id']].append(detection)
    for image in objects.keys() | detections.keys():
        own = objects[image]
        free = {index for index, annotation in enumerate(own) if not annotation['iscrowd']}
        best_first = sorted(detections[image], key=lambda detection: -detection['score'])
        overlaps = np.zeros((len(best_first), len(own)))
        if overlaps.size:
            overlaps[:] = rle_tools.iou([detection[key] for detection in best_first], [each[key] for each in own],
                                        [each['iscrowd'] for each in own])
        for detection, overlap in zip(best_first, overlaps, strict=True):
            label = detection['category_id']
            # of objects in the same place, one of its own class
            index = max(free, key=lambda i: (overlap[i], own[i]['category_id'] == label, -i), default=None)
            if index is not None and overlap[index] >= min_iou:
                free.remove(index)
                counts[own[index]['category_id'] - 1, label - 1] += 1
            elif not any(each['iscrowd'] and share >= min_iou for each, share in zip(own, overlap, strict=True)):
                counts[background, label - 1] += 1
        for index in free:
            counts[own[index]['category_id'] - 1, background] += 1
    return counts


def to_csv(counts: np.ndarray, classes: Sequence[str]) -> bytes:
    """A table whose first column has the objects' classes and whose first row the detections'."""
    names, text = [*classes, BACKGROUND], io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['object / detection', *names])
    writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return text.getvalue().encode()


def draw(counts: np.ndarray, classes: Sequence[str], title: str) -> bytes:
    """Draw counts and shares, errors in red, as PNG: shares of a class's objects, in the last row of its detections."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second that other users need not wait for
    from matplotlib.figure import Figure  # without pyplot, whose figures and backend are global

    names = [name if len(name) <= _LONGEST_NAME else f'{name[:_LONGEST_NAME - 1]}…' for name in (*classes, BACKGROUND)]
    with_numbers = len(classes) <= _MOST_WITH_NUMBERS
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shares[-1] = counts[-1] / np.maximum(counts.sum(0), 1)
    side = (.62 if with_numbers else .18) * len(names)  # inches
    figure = Figure(figsize=(side, side))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))  # what is written around it makes the picture larger, not the cells smaller
    # The root, because a class that is taken for another one in a few percent is what one looks for.
    colors = np.where(np.eye(len(names), dtype=bool), shares, -np.sqrt(shares))
    axes.imshow(colors, cmap='RdBu', vmin=-1.2, vmax=1.2)
    size = 9 if with_numbers else 7
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel('detection')
    axes.set_ylabel('object')
    axes.set_title(title, fontsize=10)
    for draw_line in (axes.axhline, axes.axvline):
        draw_line(len(classes) - .5, color='.5', linewidth=.8)
    if with_numbers:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                share = shares[row, column]
                axes.text(column, row, f'{count}\n{share:.0%}', ha='center', va='center', fontsize=size - 1,
                          color='white' if share > .7 else 'black')
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=110, bbox_inches='tight', pad_inches=.1)
    return file.getvalue()
