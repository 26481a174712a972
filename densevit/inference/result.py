"""The one result type of semantic, instance and panoptic segmentation."""
from __future__ import annotations

import json as json_module
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from densevit.errors import printable
from densevit.visualization.palette import Color, default_palette

if TYPE_CHECKING:
    import supervision

Task = Literal['semantic', 'instance', 'panoptic']


class ClassArea(NamedTuple):
    """How much of a picture a class covers."""

    name: str
    pixels: int
    fraction: float  # of all pixels of the picture, in [0, 1]
    instances: int | None = None  # how many segments; None for a class that has no instances


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationResult:
    """What a model found in one picture: N segments, each with a class and a score.

    A semantic result has one segment per class present. Build results with `from_semantic`, `from_instances` or
    `from_panoptic`, which check what they are given.

    Attributes:
        image: (H, W, 3) uint8, RGB, the picture.
        task: what a segment is.
        classes: names by label id.
        palette: RGB colours by label id.
        labels: (N,) int64 label ids.
        scores: (N,) float32 in [0, 1]; for a semantic result the mean confidence over the class's pixels; NaN where
            the model gives none.
        segment_map: (H, W) int32, index of the segment that is seen at a pixel, -1 where there is none.
        is_instance: (N,) bool, whether a segment is one of several that its class may have: all of an instance result,
            things of a panoptic one.
        semantic: (H, W) int64 label ids, -1 where there is none; None for instances.
        source: the file that was read, if it was a file.
    """

    image: np.ndarray
    task: Task
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    labels: np.ndarray
    scores: np.ndarray
    segment_map: np.ndarray
    is_instance: np.ndarray
    semantic: np.ndarray | None = None
    source: Path | None = None
    _instance_masks: np.ndarray | None = None

    @classmethod
    def from_semantic(
        cls,
        image: np.ndarray,
        semantic: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        confidence: np.ndarray | None = None,
        source: Path | None = None,
        ignore_index: int = -1,
    ) -> SegmentationResult:
        """From a label id and, if known, a confidence in [0, 1] per pixel, both (H, W).

        Raises:
            ValueError: a map is not of the picture's size, or holds an id that is no class and not ``ignore_index``.
        """
        _check_map(semantic, image, 'label map')
        present = _present(semantic)
        labels = present[present != ignore_index].astype(np.int64)
        _check_labels(labels, classes)
        segment_map = np.searchsorted(labels, semantic).astype(np.int32)
        segment_map[semantic == ignore_index] = -1
        semantic = np.append(labels, -1)[segment_map]  # index -1 is the appended -1
        scores = np.full(len(labels), np.nan, np.float32)
        if confidence is not None:
            _check_map(confidence, image, 'confidence map')
            scores = _mean_by_segment(segment_map, confidence, len(labels))
        return cls(image, 'semantic', tuple(classes), _as_palette(palette, len(classes)), labels, scores, segment_map,
                   np.zeros(len(labels), bool), semantic, source)

    @classmethod
    def from_instances(
        cls,
        image: np.ndarray,
        masks: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        source: Path | None = None,
    ) -> SegmentationResult:
        """From masks (N, H, W) bool that may overlap; where they do, the higher score is seen.

        Raises:
            ValueError: lengths or sizes differ, or a label is no class.
        """
        masks, labels, scores = np.asarray(masks, bool), np.asarray(labels, np.int64), np.asarray(scores, np.float32)
        if not masks.shape == (len(labels), *image.shape[:2]) or len(scores) != len(labels):
            raise ValueError(f'{len(labels)} labels and {len(scores)} scores do not fit masks of shape {masks.shape} '
                             f'for a picture of shape {image.shape}')
        _check_labels(labels, classes)
        segment_map = np.full(image.shape[:2], -1, np.int32)
        for index in np.argsort(scores, kind='stable'):
            segment_map[masks[index]] = index
        return cls(image, 'instance', tuple(classes), _as_palette(palette, len(classes)), labels, scores, segment_map,
                   np.ones(len(labels), bool), None, source, masks)

    @classmethod
    def from_panoptic(
        cls,
        image: np.ndarray,
        segment_map: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        source: Path | None = None,
        is_instance: np.ndarray | None = None,
    ) -> SegmentationResult:
        """From the index of the segment at each pixel (H, W), -1 where there is none.

        Args:
            is_instance: (N,) bool, True for things and False for stuff; None if every segment is a thing.

        Raises:
            ValueError: lengths or sizes differ, an index has no label, or a label is no class.
        """
        segment_map, labels = np.asarray(segment_map, np.int32), np.asarray(labels, np.int64)
        scores = np.asarray(scores, np.float32)
        is_instance = np.ones(len(labels), bool) if is_instance is None else np.asarray(is_instance, bool)
        _check_map(segment_map, image, 'segment map')
        _check_labels(labels, classes)
        lengths_fit = len(scores) == len(is_instance) == len(labels)
        if not lengths_fit or segment_map.max() >= len(labels) or segment_map.min() < -1:
            raise ValueError(f'segment indices {segment_map.min()} to {segment_map.max()} do not fit {len(labels)} '
                             f'labels, {len(scores)} scores and {len(is_instance)} values of is_instance')
        semantic = np.append(labels, -1)[segment_map]  # index -1 is the appended -1
        return cls(image, 'panoptic', tuple(classes), _as_palette(palette, len(classes)), labels, scores, segment_map,
                   is_instance, semantic, source)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[:2]

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, one segment's mask."""
        return self.segment_map == index if self._instance_masks is None else self._instance_masks[index]

    @cached_property
    def masks(self) -> np.ndarray:
        """(N, H, W) bool, one mask per segment, made when first asked for."""
        if self._instance_masks is not None:
            return self._instance_masks
        return self.segment_map[None] == np.arange(len(self.labels))[:, None, None]

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32 ``x0, y0, x1, y1`` in pixels around the masks, x1 and y1 exclusive; zeros if empty."""
        boxes = np.zeros((len(self.labels), 4), np.float32)
        for index, box in enumerate(boxes):
            # One mask at a time: all masks of a large semantic map would fill the memory for a few numbers.
            mask = self.mask(index)
            x, y = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
            if len(x):
                box[:] = x[0], y[0], x[-1] + 1, y[-1] + 1
        return boxes

    def areas(self) -> list[ClassArea]:
        """Name, pixels, share and number of instances of each class present, the largest first.

        Pixels in several masks of a class count once.
        """
        total, instances = self.segment_map.size, self.instances_by_label()
        return [ClassArea(self.classes[label], pixels, pixels / total, instances.get(label))
                for label, pixels in self.pixels_by_label()]

    def instances_by_label(self) -> dict[int, int]:
        """Label ids to numbers of instances that have pixels, of the classes that have instances."""
        counted = self.labels[self.is_instance & (self._pixels_by_segment() > 0)]
        return {int(label): int(count) for label, count in zip(*np.unique(counted, return_counts=True), strict=True)}

    def pixels_by_label(self) -> list[tuple[int, int]]:
        """(label id, pixels) of each class present, the largest first: what `areas` names."""
        counts = []
        for label in np.unique(self.labels):
            seen = self.semantic == label
            if self._instance_masks is not None:
                seen = self._instance_masks[self.labels == label].any(axis=0)
            counts.append((int(label), int(np.count_nonzero(seen))))
        return sorted((count for count in counts if count[1]), key=lambda count: -count[1])

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows.

        ``segments`` are in the order of `labels`; a box is ``[x0, y0, x1, y1]`` in pixels, x1 and y1 exclusive, and a
        missing score is None. ``areas`` have ``instances`` only for classes that have instances.
        """
        pixels = self._pixels_by_segment()
        segments = [
            dict(label=int(label), name=self.classes[label], score=None if np.isnan(score) else round(float(score), 4),
                 pixels=int(count), box=[int(v) for v in box])
            for label, score, count, box in zip(self.labels, self.scores, pixels, self.boxes, strict=True)
        ]
        height, width = self.image_size
        return dict(
            generator='densevit', source=None if self.source is None else str(self.source), task=self.task,
            image_size=dict(height=height, width=width), segments=segments,
            areas=[{key: value for key, value in area._asdict().items() if value is not None}
                   for area in self.areas()])

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as text that is valid UTF-8."""
        text = json_module.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)
        # Surrogates stand for bytes of a file name that are not UTF-8; json and os.fsencode() give the bytes back.
        return re.sub('[\ud800-\udfff]', lambda match: f'\\u{ord(match[0]):04x}', text)

    def to_supervision(self) -> supervision.Detections:
        """The segments as ``supervision.Detections``, with ``data['class_name']``.

        Raises:
            ImportError: supervision is not installed; the message says how to get it.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError('to_supervision() needs supervision: pip install supervision') from error
        names = np.array([self.classes[label] for label in self.labels], dtype=str)
        return supervision.Detections(
            xyxy=self.boxes, mask=self.masks, confidence=self.scores, class_id=self.labels.astype(int),
            data={'class_name': names})

    def save(
        self,
        path: str | PathLike,
        *,
        opacity: float = 0.5,
        legend: bool = True,
        side_by_side: bool = True,
        masks: bool = False,
        json: bool = False,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write the picture and its overlay; see `densevit.inference.saving.save_result`."""
        from .saving import save_result  # saving knows results, so results know it only when asked

        return save_result(self, path, opacity=opacity, legend=legend, side_by_side=side_by_side, masks=masks,
                           json=json, overwrite=overwrite)

    def _pixels_by_segment(self) -> np.ndarray:
        if self._instance_masks is not None:
            return self._instance_masks.sum(axis=(1, 2))
        return np.bincount(self.segment_map[self.segment_map >= 0], minlength=len(self.labels))

    def __repr__(self) -> str:
        height, width = self.image_size
        shares = ', '.join(f'{printable(area.name)} {area.fraction:.0%}' for area in self.areas()[:4])
        return f'SegmentationResult({self.task}, {height}x{width}, {len(self.labels)} segments: {shares})'


def _present(labels: np.ndarray) -> np.ndarray:
    """Sorted values of a map; counting takes a fraction of the time and memory of sorting."""
    if labels.size and labels.dtype.kind in 'iu' and labels.min() >= 0 and labels.max() < 2**16:
        return np.flatnonzero(np.bincount(labels.ravel()))
    return np.unique(labels)


def _mean_by_segment(segment_map: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    inside = segment_map >= 0
    segments = segment_map[inside]
    sums = np.bincount(segments, weights=values[inside], minlength=count)
    return (sums / np.bincount(segments, minlength=count)).astype(np.float32)


def _as_palette(palette: Sequence[Color] | None, count: int) -> tuple[Color, ...]:
    """The given colours if there is one for each class, else the default ones."""
    if palette is None or len(palette) < count:
        return default_palette(count)
    return tuple(tuple(int(v) for v in color) for color in palette[:count])


def _check_map(values: np.ndarray, image: np.ndarray, name: str) -> None:
    if values.shape != image.shape[:2]:
        raise ValueError(f'the {name} has shape {values.shape}, the picture {image.shape}')


def _check_labels(labels: np.ndarray, classes: Sequence[str]) -> None:
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise ValueError(f'label ids {labels.min()} to {labels.max()} do not fit {len(classes)} classes; give as many '
                         'class names as the model has classes')
