"""Semantic, instance and panoptic segmentation: segments with a class and a score."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from ...errors import printable
from ...visualization.legend import percent_text
from ...visualization.overlay import draw_comparison, draw_overlay
from ...visualization.palette import Color
from ..files import Artifact
from ..instances import (
    ARGUMENTS,
    MIN_SCORE,
    as_palette,
    check_labels,
    class_thresholds,
    instance_masks,
    mask_artifacts,
    supervision_detections,
    to_numpy,
)
from ..result import Result, Row, Table
from ..task import Call, Picture, PredictionError, Task

if TYPE_CHECKING:
    import supervision
    from mmengine.structures import BaseDataElement
    from torch import Tensor, nn

    from ..predictor import Predictor

_INSTANCE_OFFSET = 1000  # mmdet: panoptic id = label + 1000 * instance, and no instance, 0, for stuff
_ROWS_AT_ONCE = 128
# Our own models make few class scores at a time. What grows with a picture are the maps that are shown and, unless the
# pipeline resizes, the network's features.
_MAX_PIXELS = 2**26
# Other models give class scores at the picture's own size, the largest thing in memory: at most 2 GiB of float32.
_MAX_SCORES = 2**29
_MAX_SCORED_PIXELS = 2**24


class ClassArea(NamedTuple):
    """How much of a picture a class covers."""

    name: str
    pixels: int
    fraction: float  # of all pixels of the picture, in [0, 1]
    instances: int | None = None  # how many segments; None for a class that has no instances


@dataclass(frozen=True, eq=False, repr=False)
class SegmentationResult(Result):
    """What a model found in one picture: N segments, each with a class and a score.

    A semantic result has one segment per class present. Build results with `from_semantic`, `from_instances` or
    `from_panoptic`, which check what they are given.

    Attributes:
        image: (H, W, 3) uint8, RGB, the picture.
        task: What a segment is.
        classes: Names by label id.
        palette: RGB colours by label id.
        labels: (N,) int64 label ids.
        scores: (N,) float32 in [0, 1]; for a semantic result the mean confidence over the class's pixels; NaN where
            the model gives none.
        segment_map: (H, W) int32, index of the segment that is seen at a pixel, -1 where there is none.
        is_instance: (N,) bool, whether a segment is one of several that its class may have: all of an instance result,
            things of a panoptic one.
        semantic: (H, W) int64 label ids, -1 where there is none; None for instances.
        thresholds: The options that left out segments, with their values, as far as they are known.
        source, notes: See `Result`.
    """

    task: Literal['semantic', 'instance', 'panoptic']
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    labels: np.ndarray
    scores: np.ndarray
    segment_map: np.ndarray
    is_instance: np.ndarray
    semantic: np.ndarray | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    _instance_masks: np.ndarray | None = field(default=None, kw_only=True)

    @classmethod
    def from_semantic(
        cls,
        image: np.ndarray,
        semantic: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        confidence: np.ndarray | None = None,
        ignore_index: int = -1,
        **common: Any,
    ) -> SegmentationResult:
        """Build a result from a label id and, if known, a confidence in [0, 1] per pixel, both (H, W).

        Raises:
            ValueError: A map is not of the picture's size, or holds an id that is no class and not ``ignore_index``.
        """
        _check_map(semantic, image, 'label map')
        present = _present(semantic)
        labels = present[present != ignore_index].astype(np.int64)
        check_labels(labels, classes)
        segment_map = np.searchsorted(labels, semantic).astype(np.int32)
        segment_map[semantic == ignore_index] = -1
        semantic = np.append(labels, -1)[segment_map]  # index -1 is the appended -1
        scores = np.full(len(labels), np.nan, np.float32)
        if confidence is not None:
            _check_map(confidence, image, 'confidence map')
            scores = _mean_by_segment(segment_map, confidence, len(labels))
        return cls(image, 'semantic', tuple(classes), as_palette(palette, len(classes)), labels, scores, segment_map,
                   np.zeros(len(labels), bool), semantic, **common)

    @classmethod
    def from_instances(
        cls,
        image: np.ndarray,
        masks: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        **common: Any,
    ) -> SegmentationResult:
        """Build a result from masks (N, H, W) bool that may overlap; where they do, the higher score is seen.

        Raises:
            ValueError: Lengths or sizes differ, or a label is no class.
        """
        masks, labels, scores = np.asarray(masks, bool), np.asarray(labels, np.int64), np.asarray(scores, np.float32)
        if not masks.shape == (len(labels), *image.shape[:2]) or len(scores) != len(labels):
            raise ValueError(f'{len(labels)} labels and {len(scores)} scores do not fit masks of shape {masks.shape} '
                             f'for a picture of shape {image.shape}')
        check_labels(labels, classes)
        segment_map = np.full(image.shape[:2], -1, np.int32)
        for index in np.argsort(scores, kind='stable'):
            segment_map[masks[index]] = index
        return cls(image, 'instance', tuple(classes), as_palette(palette, len(classes)), labels, scores, segment_map,
                   np.ones(len(labels), bool), _instance_masks=masks, **common)

    @classmethod
    def from_panoptic(
        cls,
        image: np.ndarray,
        segment_map: np.ndarray,
        labels: np.ndarray,
        scores: np.ndarray,
        classes: Sequence[str],
        palette: Sequence[Color] | None = None,
        is_instance: np.ndarray | None = None,
        **common: Any,
    ) -> SegmentationResult:
        """Build a result from the index of the segment at each pixel (H, W), -1 where there is none.

        Args:
            is_instance: (N,) bool, True for things and False for stuff; None if every segment is a thing.

        Raises:
            ValueError: Lengths or sizes differ, an index has no label, or a label is no class.
        """
        segment_map, labels = np.asarray(segment_map, np.int32), np.asarray(labels, np.int64)
        scores = np.asarray(scores, np.float32)
        is_instance = np.ones(len(labels), bool) if is_instance is None else np.asarray(is_instance, bool)
        _check_map(segment_map, image, 'segment map')
        check_labels(labels, classes)
        lengths_fit = len(scores) == len(is_instance) == len(labels)
        if not lengths_fit or segment_map.max() >= len(labels) or segment_map.min() < -1:
            raise ValueError(f'segment indices {segment_map.min()} to {segment_map.max()} do not fit {len(labels)} '
                             f'labels, {len(scores)} scores and {len(is_instance)} values of is_instance')
        semantic = np.append(labels, -1)[segment_map]  # index -1 is the appended -1
        return cls(image, 'panoptic', tuple(classes), as_palette(palette, len(classes)), labels, scores, segment_map,
                   is_instance, semantic, **common)

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, one segment's mask."""
        return self.segment_map == index if self._instance_masks is None else self._instance_masks[index]

    def cutout(self, index: int, matting: Predictor, width: float | None = None, **options: Any) -> Result:
        """One object with the opacity of its edge: its mask, with a band of unknown pixels, through a matting model.

        Args:
            index: Of the object.
            matting: A model of matting, as `densevit.load` gives it.
            width: Of the band on both sides of the mask's edge in pixels; a twentieth of the object's extent if None.
            options: Further options of ``matting.predict``, as ``tiles``.

        Returns:
            The result of the matting model: ``.alpha``, ``.foreground``, and ``.save(path)`` writes the object as PNG.
        """
        found = matting.predict(self.image, mask=self.mask(index), width=width, **options)
        return replace(found, source=self.source)

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
        if self._instance_masks is None:
            from scipy.ndimage import find_objects

            for box, found in zip(boxes, find_objects(self.segment_map + 1, len(boxes)), strict=True):
                if found is not None:
                    rows, columns = found
                    box[:] = columns.start, rows.start, columns.stop, rows.stop
            return boxes
        for box, mask in zip(boxes, self._instance_masks, strict=True):
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
        counted = self.labels[self.is_instance & (self._pixels_by_segment > 0)]
        return {int(label): int(count) for label, count in zip(*np.unique(counted, return_counts=True), strict=True)}

    def pixels_by_label(self) -> list[tuple[int, int]]:
        """(label id, pixels) of each class present, the largest first: what `areas` names."""
        return list(self._pixels_by_label)

    @cached_property
    def _pixels_by_segment(self) -> np.ndarray:
        if self._instance_masks is not None:
            return np.array([np.count_nonzero(mask) for mask in self._instance_masks], int)
        return np.bincount(self.segment_map.ravel() + 1, minlength=len(self.labels) + 1)[1:]

    @cached_property
    def _pixels_by_label(self) -> list[tuple[int, int]]:
        counts = np.bincount(self.labels, self._pixels_by_segment, len(self.classes)).astype(int)
        if self._instance_masks is not None:  # they may overlap
            for label in np.flatnonzero(np.bincount(self.labels, minlength=len(self.classes)) > 1):
                counts[label] = np.count_nonzero(self._instance_masks[self.labels == label].any(axis=0))
        return [(int(label), int(counts[label])) for label in np.argsort(-counts, kind='stable') if counts[label]]

    def draw(self, *, opacity: float = 0.5, legend: bool = True, side_by_side: bool = True) -> np.ndarray:
        """The picture beside itself with its segments in colours, over a legend.

        Args:
            opacity: How opaque the tint is, in [0, 1].
            legend: Add the classes present with their shares and numbers of instances.
            side_by_side: Put the untouched picture beside the overlay.
        """
        return (draw_comparison if side_by_side else draw_overlay)(self.image, self, opacity, legend)

    def table(self) -> Table:
        """A row for each class: instances if there are any, pixels, share of the picture and mean score."""
        counted = bool(self.instances_by_label())
        rows = []
        for (label, _), (name, pixels, fraction, instances) in zip(self._pixels_by_label, self.areas(), strict=True):
            scores = self.scores[self.labels == label]
            score = '-' if np.isnan(scores).any() else f'{scores.mean():.2f}'
            number = ['-' if instances is None else f'{instances:,}'] * counted
            rows.append(Row((name, *number, f'{pixels:,}', percent_text(fraction), score), self.palette[label]))
        limits = ', '.join(f'{name}={value:g}' for name, value in self.thresholds.items())
        return Table(('class', *['instances'] * counted, 'pixels', 'share', 'score'), tuple(rows),
                     'nothing found' + (limits and f': no segment passes {limits}'))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows.

        ``segments`` are in the order of `labels`; a box is ``[x0, y0, x1, y1]`` in pixels, x1 and y1 exclusive, and a
        missing score is None. ``areas`` have ``instances`` only for classes that have instances.
        """
        segments = [
            dict(label=int(label), name=self.classes[label], score=None if np.isnan(score) else round(float(score), 4),
                 pixels=int(count), box=[int(v) for v in box])
            for label, score, count, box in zip(
                self.labels, self.scores, self._pixels_by_segment, self.boxes, strict=True)
        ]
        areas = [{key: value for key, value in area._asdict().items() if value is not None} for area in self.areas()]
        return super().to_dict() | dict(segments=segments, areas=areas)

    def artifacts(
        self,
        *,
        opacity: float = 0.5,
        legend: bool = True,
        side_by_side: bool = True,
        masks: bool = False,
    ) -> list[Artifact]:
        """The picture of `draw` and, if asked for, masks.

        Args:
            opacity: See `draw`; so for ``legend`` and ``side_by_side``.
            masks: Write ``<name>.masks/``: one black-and-white PNG per segment, ``000_<class name>.png``, whose number
                is the segment's place in the JSON, not its class; and for semantic and panoptic results
                ``labels.png``, whose values are label ids (8 bits with 255 for none, or 16 bits with 65535 when there
                are more than 255 classes).
        """
        files = [Artifact('', partial(self.draw, opacity=opacity, legend=legend, side_by_side=side_by_side))]
        if masks and self.semantic is not None:
            files.append(Artifact('.masks/labels.png', self._label_image))
        return files + (mask_artifacts(self.mask, [self.classes[label] for label in self.labels]) if masks else [])

    def _label_image(self) -> Image.Image:
        """Label ids as pixel values: with the palette where 8 bits suffice, else 16 bits."""
        if len(self.classes) > 255:
            return Image.fromarray(np.where(self.semantic < 0, 65535, self.semantic).astype(np.uint16))
        image = Image.fromarray(np.where(self.semantic < 0, 255, self.semantic).astype(np.uint8))
        # All 256 colours: with fewer, Pillow packs the pixels into fewer bits, and 255 would become another label.
        palette = np.zeros((256, 3), np.uint8)
        palette[:len(self.palette)] = self.palette
        image.putpalette(palette.tobytes())
        return image

    def to_supervision(self) -> supervision.Detections:
        """The segments as ``supervision.Detections``, with ``data['class_name']``.

        Raises:
            ImportError: The package supervision is not installed; the message says how to get it.
        """
        return supervision_detections(self.boxes, self.masks, self.labels, self.scores, self.classes)

    def __repr__(self) -> str:
        height, width = self.image_size
        shares = ', '.join(f'{printable(area.name)} {area.fraction:.0%}' for area in self.areas()[:4])
        return f'SegmentationResult({self.task}, {height}x{width}, {len(self.labels)} segments: {shares})'


class Segmentation(Task):
    """Label maps, instances with masks and panoptic maps."""

    names = ('semantic', 'instance', 'panoptic')
    fields = ('pred_panoptic_seg', 'pred_instances', 'pred_sem_seg')
    files = {'.masks/labels.png': 'masks', '.masks/': 'masks'}
    # Without a score, instances are left out below the model's own threshold and below 0.5.
    options = dict(min_score=None)
    arguments = ARGUMENTS
    help = """segmentation writes, beside the overlay outputs/street.jpg:
  outputs/street.jpg.json    (--json) "segments", each with label (class id), name, score, pixels and
                             box = [x0, y0, x1, y1] in pixels, x1 and y1 exclusive; "areas", each with name,
                             pixels, fraction and, if the task has them, instances
  outputs/street.jpg.masks/  (--masks) 000_car.png, 001_car.png, ...: a mask for each segment; the number is its
                             place in the "segments" of the JSON, from 0, not a class id. Class ids are the values of
                             labels.png, which semantic and panoptic results have; 255 is none (of more than
                             255 classes: 16 bits, and 65535)"""
    examples = """
  {prog} dog.jpg                                           outputs/dog.jpg: the picture, its overlay and a legend
  {prog} street.jpg --model eomt_tiny_camvid               streets: roads, cars, buildings, trees ...
  {prog} cells.png --model eomt_tiny_nuclei --masks        each instance in a shade of its own"""

    def max_pixels(self, model: nn.Module, num_classes: int) -> int:
        if getattr(model, 'task', None) in self.names:
            return _MAX_PIXELS
        return min(_MAX_SCORED_PIXELS, _MAX_SCORES // max(1, num_classes))

    def check(self, call: Call) -> None:
        min_score = call.options['min_score']
        if min_score is None:
            return
        class_thresholds(min_score, call.named_classes(), MIN_SCORE)
        if call.task == 'semantic':
            raise _no_instances()
        if call.task == 'panoptic' and isinstance(min_score, Mapping):
            raise ValueError('min_score by class is for instances: give one number for a panoptic model')

    def model_options(self, call: Call) -> dict[str, Any]:
        """Masks of instances below the least score are not made."""
        if 'score_threshold' in call.given or 'score_threshold' not in call.in_force:
            return {}
        if call.task == 'panoptic' and call.options['min_score'] is None:
            return {}
        return dict(score_threshold=float(min(_least_scores(call))))

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> SegmentationResult:
        """The first of ``fields`` that the sample holds."""
        readers: dict[str, Callable[..., SegmentationResult]] = dict(
            pred_panoptic_seg=_panoptic, pred_instances=_instances, pred_sem_seg=_semantic)
        for name in self.fields:
            if name in sample:
                return readers[name](sample, picture, call)
        raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a segmentation model gives '
                              f'one of {list(self.fields)}')


def _no_instances() -> ValueError:
    return ValueError('min_score is for instances, and a semantic model gives none: leave min_score (--min-score) out')


def _least_scores(call: Call) -> np.ndarray:
    """Below which scores instances are left out, by class (C,)."""
    classes, own = call.named_classes(), call.in_force.get('score_threshold', 0.)
    default = call.given.get('score_threshold', max(MIN_SCORE, own))
    min_score = call.options['min_score']
    return class_thresholds(default if min_score is None else min_score, classes, default)


def _thresholds(call: Call) -> dict[str, float]:
    """The options that leave out segments, by the names under which they can be changed."""
    own = {f'test_cfg.{name}': value for name, value in call.in_force.items()
           if name.endswith('threshold') and name not in call.given}
    limits = own | {name: value for name, value in call.given.items() if name.endswith('threshold')}
    decides = call.options['min_score'] is not None or (
        call.task != 'panoptic' and 'score_threshold' not in call.given
        and call.in_force.get('score_threshold', 0) <= MIN_SCORE)
    if decides:
        limits.pop('test_cfg.score_threshold', None)
        limits = dict(min_score=float(min(_least_scores(call)))) | limits
    return limits


def _semantic(sample: BaseDataElement, picture: Picture, call: Call) -> SegmentationResult:
    if call.options['min_score'] is not None:
        raise _no_instances()
    canvas, confidence = picture.canvas, None
    labels = sample.pred_sem_seg.data.reshape(canvas.image.shape[:2]).long()
    if 'seg_confidence' in sample:
        confidence = sample.seg_confidence.data.reshape(canvas.image.shape[:2]).float()
    elif 'seg_logits' in sample:
        confidence = class_confidence(sample.seg_logits.data, labels)
    if confidence is not None:
        confidence = to_numpy(canvas.restore(confidence))
    return SegmentationResult.from_semantic(
        picture.image, to_numpy(canvas.restore(labels)), call.named_classes(), call.palette, confidence,
        source=picture.source, notes=picture.notes)


def _instances(sample: BaseDataElement, picture: Picture, call: Call) -> SegmentationResult:
    instances = sample.pred_instances
    if 'masks' not in instances:
        raise PredictionError('the model predicted boxes without masks; use a model for instance segmentation')
    labels, scores = to_numpy(instances.labels).astype(int), to_numpy(instances.scores.float())
    check_labels(labels, call.named_classes())
    keep = scores >= _least_scores(call)[labels]
    masks = instance_masks(instances.masks, keep, picture.canvas)
    return SegmentationResult.from_instances(
        picture.image, masks, labels[keep], scores[keep], call.named_classes(),
        call.palette, source=picture.source, notes=picture.notes, thresholds=_thresholds(call))


def _panoptic(sample: BaseDataElement, picture: Picture, call: Call) -> SegmentationResult:
    import torch

    classes = call.named_classes()
    ids = torch.as_tensor(sample.pred_panoptic_seg.sem_seg).reshape(picture.canvas.image.shape[:2])
    ids = to_numpy(picture.canvas.restore(ids))
    present = np.flatnonzero(np.bincount(ids.ravel()))
    labels = present % _INSTANCE_OFFSET
    is_segment = labels < len(classes)  # mmdet marks pixels of no segment with the number of classes
    labels = labels[is_segment]
    index = np.full(present[-1] + 1, -1, np.int32)
    index[present[is_segment]] = np.arange(len(labels))
    return SegmentationResult.from_panoptic(
        picture.image, index[ids], labels, np.full(len(labels), np.nan), classes, call.palette,
        is_instance=present[is_segment] >= _INSTANCE_OFFSET, source=picture.source, notes=picture.notes,
        thresholds=_thresholds(call))


def class_confidence(scores: Tensor, labels: Tensor) -> Tensor:
    """Share of the predicted class among all classes at each pixel, in [0, 1].

    Scores without a negative value are taken as mask classification gives them, sums of probabilities, and divided by
    their total; others are logits and go through a softmax. A single channel is the probability of label 1.

    Args:
        scores: (C, H, W).
        labels: (H, W) label ids.

    Returns:
        (H, W) float32.
    """
    import torch

    if scores.shape[0] == 1:
        return torch.where(labels > 0, scores[0], 1 - scores[0]).float()
    are_logits = bool((scores < 0).any())
    confidence = []
    # Row by row, so that no second copy of all scores is made.
    for rows, row_labels in zip(scores.split(_ROWS_AT_ONCE, 1), labels.split(_ROWS_AT_ONCE, 0), strict=True):
        rows = rows.float()
        rows = rows.softmax(0) if are_logits else rows / rows.sum(0).clamp(min=1e-12)
        confidence.append(rows.gather(0, row_labels[None])[0])
    return torch.cat(confidence)


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


def _check_map(values: np.ndarray, image: np.ndarray, name: str) -> None:
    if values.shape != image.shape[:2]:
        raise ValueError(f'the {name} has shape {values.shape}, the picture {image.shape}')
