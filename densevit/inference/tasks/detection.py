"""Detection: boxes with a class and a score, with a mask each if the model gives masks."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ...errors import printable
from ...visualization.boxes import draw_boxes
from ...visualization.palette import Color
from ..duplicates import Sightings, beyond_tiles, same_objects
from ..files import Artifact
from ..instances import (
    ARGUMENTS,
    MIN_SCORE,
    InstanceMasks,
    as_palette,
    check_labels,
    class_thresholds,
    mask_artifacts,
    masks_one_by_one,
    supervision_detections,
    to_numpy,
)
from ..result import Result, Row, Table
from ..task import Argument, Call, Picture, PredictionError, Task, Tile, number_from_0_to_1

if TYPE_CHECKING:
    import supervision
    from mmengine.structures import BaseDataElement
    from torch import nn

    from ..predictor import Predictor

# Pipelines of detectors resize. What grows with a picture are its hundred masks, a byte a pixel.
_MAX_PIXELS = 2**24


class ClassCount(NamedTuple):
    """The objects of a class in one picture."""

    name: str
    instances: int
    pixels: int  # in its masks or, without masks, in its boxes; a pixel in several counts once
    fraction: float  # of all pixels of the picture, in [0, 1]


@dataclass(frozen=True, eq=False, repr=False)
class DetectionResult(Result):
    """The N objects that a model found in one picture, the best first.

    Attributes:
        classes: Names by label id.
        palette: RGB colours by label id.
        boxes: (N, 4) float32 ``x0, y0, x1, y1`` in pixels of the picture, within it.
        labels: (N,) int64 label ids.
        scores: (N,) float32 in [0, 1].
        masks: N masks (H, W) bool, kept small: ``masks[3]`` is one, ``np.asarray(masks)`` is all of them, (N, H, W).
            None of a model that gives boxes alone.
        min_score: The least score of each class (C,) below which objects were left out; None if none were.
        image, source, notes: See `Result`.

    Raises:
        ValueError: Lengths or sizes differ, or a label is no class.
    """

    task: ClassVar[str] = 'detection'
    classes: tuple[str, ...]
    palette: tuple[Color, ...]
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: InstanceMasks | None = None
    min_score: np.ndarray | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        count = len(self.labels)
        if self.boxes.shape != (count, 4) or len(self.scores) != count:
            raise ValueError(f'{count} labels and {len(self.scores)} scores do not fit boxes of shape '
                             f'{self.boxes.shape}')
        if self.masks is not None and self.masks.shape != (count, *self.image_size):
            raise ValueError(f'{count} masks of a picture of {self.image_size} pixels have the shape '
                             f'{self.masks.shape}')
        check_labels(self.labels, self.classes)

    def cutout(self, index: int, matting: Predictor, width: float | None = None, **options: Any) -> Result:
        """One object with the opacity of its edge: its mask, with a band of unknown pixels, through a matting model.

        Args:
            index: Of the object.
            matting: A model of matting, as `densevit.load` gives it.
            width: Of the band on both sides of the mask's edge in pixels; a twentieth of the object's extent if None.
            options: Further options of ``matting.predict``, as ``tiles``.

        Returns:
            The result of the matting model: ``.alpha``, ``.foreground``, and ``.save(path)`` writes the object as PNG.

        Raises:
            ValueError: The model gives boxes alone.
        """
        if self.masks is None:
            raise ValueError('the model gives boxes alone: an object is cut out by its mask')
        found = matting.predict(self.image, mask=self.masks[index], width=width, **options)
        return replace(found, source=self.source)

    def counts(self) -> list[ClassCount]:
        """Name, number of objects, pixels and share of each class present, the most frequent first."""
        total = self.image_size[0] * self.image_size[1]
        return [ClassCount(self.classes[label], instances, pixels, pixels / total)
                for label, instances, pixels in self._counts]

    @cached_property
    def _counts(self) -> list[tuple[int, int, int]]:
        """Label id, objects and covered pixels of each class present."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        present = [int(label) for label in np.argsort(-counts, kind='stable') if counts[label]]
        return [(label, int(counts[label]), self._covered(np.flatnonzero(self.labels == label))) for label in present]

    def _covered(self, indices: np.ndarray) -> int:
        if self.masks is not None:
            return int(np.count_nonzero(self.masks[indices].union().pixels))
        seen = np.zeros(self.image_size, bool)
        for x0, y0, x1, y1 in np.rint(self.boxes[indices]).astype(int):
            seen[y0:y1, x0:x1] = True
        return int(np.count_nonzero(seen))

    def draw(self, *, opacity: float = 0.5, legend: bool = True) -> np.ndarray:
        """The picture with a frame around each object, class and score at it, and masks as a tint.

        Args:
            opacity: How opaque the tint of masks is, in [0, 1].
            legend: Add the classes present with their numbers of objects.
        """
        return draw_boxes(self.image, self.boxes, self.labels, self.scores, self.masks, self.classes, self.palette,
                          opacity, legend)

    def table(self) -> Table:
        """A row for each class present: the number of its objects, their mean and their best score."""
        rows = []
        for label, instances, _ in self._counts:
            scores = self.scores[self.labels == label]
            rows.append(Row((self.classes[label], f'{instances:,}', f'{scores.mean():.2f}', f'{scores.max():.2f}'),
                            self.palette[label]))
        limit = '' if self.min_score is None or not len(self.min_score) else \
            f': no object reaches min_score={self.min_score.min():g}'
        return Table(('class', 'objects', 'mean score', 'best'), tuple(rows), f'nothing found{limit}')

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, in types that JSON knows.

        ``detections`` are in the order of ``labels``, each in the form of COCO's results: ``category_id`` is the label
        id, which counts classes from 0 (`to_coco` takes the ids of a file), ``bbox`` is ``[x, y, width, height]`` in
        pixels, ``area`` is in pixels, and a mask is ``segmentation``, COCO's compressed run lengths. ``categories``
        names the ids; ``areas`` are what `counts` gives.
        """
        detections = [dict(result, name=self.classes[label])
                      for result, label in zip(self.to_coco(), self.labels, strict=True)]
        categories = [dict(id=index, name=name) for index, name in enumerate(self.classes)]
        return super().to_dict() | dict(
            detections=detections, areas=[count._asdict() for count in self.counts()], categories=categories)

    def to_coco(self, image_id: int | None = None, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The objects as a list of COCO's results, which ``pycocotools.coco.COCO.loadRes`` reads.

        Args:
            image_id: The picture's id in the annotation file; left out if None.
            category_ids: The id in the annotation file of each class; the label ids, from 0, if None.
        """
        results = []
        for index, (label, score) in enumerate(zip(self.labels, self.scores, strict=True)):
            x0, y0, x1, y1 = (round(float(value), 2) for value in self.boxes[index])
            box = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
            result = dict(
                category_id=int(label if category_ids is None else category_ids[label]), bbox=box,
                area=round(box[2] * box[3], 2), score=round(float(score), 4))
            if self.masks is not None:
                result |= self.masks.run_lengths(index)
            results.append(result if image_id is None else dict(image_id=image_id, **result))
        return results

    def artifacts(self, *, opacity: float = 0.5, legend: bool = True, masks: bool = False) -> list[Artifact]:
        """The picture of `draw` and, if asked for, a PNG for each mask.

        Args:
            opacity: See `draw`; so for ``legend``.
            masks: Write ``<name>.masks/``: one black-and-white PNG per mask, ``000_<class name>.png``, whose number is
                the object's place in the JSON, not its class.

        Raises:
            ValueError: Masks are asked for and the model gives none.
        """
        files = [Artifact('', partial(self.draw, opacity=opacity, legend=legend))]
        if masks:
            if self.masks is None:
                raise ValueError('masks: the model gives boxes alone; leave masks (--masks) out')
            files += mask_artifacts(self.masks.__getitem__, [self.classes[label] for label in self.labels])
        return files

    def to_supervision(self) -> supervision.Detections:
        """The objects as ``supervision.Detections``, with ``data['class_name']`` and masks as pixels, (N, H, W).

        Raises:
            ImportError: The package supervision is not installed; the message says how to get it.
        """
        masks = None if self.masks is None else np.asarray(self.masks)
        return supervision_detections(self.boxes, masks, self.labels, self.scores, self.classes)

    def __repr__(self) -> str:
        height, width = self.image_size
        found = ', '.join(f'{count.instances} {printable(count.name)}' for count in self.counts()[:4])
        return f'DetectionResult({height}x{width}, {len(self.labels)} objects: {found})'


class Detection(Task):
    """Boxes, and boxes with masks, of detectors of ours and of mmdetection's."""

    names = ('detection', )
    fields = ('pred_instances', )
    files = {'.masks/': 'masks'}
    options = dict(min_score=None)
    can_tile = True
    tile_options = dict(merge='nmm', merge_threshold=.5, merge_metric='iou', class_agnostic=False)
    arguments = (
        *ARGUMENTS,
        Argument('--merge', 'predict', dict(
            choices=('nmm', 'nms'), help='of an object that tiles cut and that is nowhere seen as a whole, join the '
                                         'pieces or keep the best of them (default: nmm)')),
        Argument('--merge-threshold', 'predict', dict(
            type=number_from_0_to_1, metavar='OVERLAP',
            help='from which overlap on objects of two tiles are one (default: 0.5)')),
        Argument('--merge-metric', 'predict', dict(
            choices=('iou', 'ios'), help='overlap is the intersection over the union, or over the smaller object '
                                         '(default: iou)')),
        Argument('--class-agnostic', 'predict', dict(
            action='store_const', const=True, help='objects of two classes may be one')),
    )
    help = """detection writes, beside the picture with boxes outputs/street.jpg:
  outputs/street.jpg.json    (--json) "detections" in COCO's form: category_id (from 0), bbox = [x, y, width, height] in
                             pixels, score, area, name, and segmentation (run lengths) of models with masks;
                             "areas", each with name, instances, pixels and fraction; "categories"
  outputs/street.jpg.masks/  (--masks) 000_car.png, 001_car.png, ...: a mask for each detection that has one"""
    examples = """
  {prog} cells.png --config my_detector.py --weights best.pth --json --min-score 0.3"""

    def reads(self, sample: BaseDataElement) -> bool:
        """Instances that have boxes; a panoptic model, which may give such as well, is segmentation."""
        return 'pred_instances' in sample and 'bboxes' in sample.pred_instances and 'pred_panoptic_seg' not in sample

    def max_pixels(self, model: nn.Module, num_classes: int) -> int:
        return _MAX_PIXELS

    def check(self, call: Call) -> None:
        if call.options['min_score'] is not None:
            class_thresholds(call.options['min_score'], call.named_classes(), MIN_SCORE)
        options = {**self.tile_options, **call.options}
        for name, choices in (('merge', ('nmm', 'nms')), ('merge_metric', ('iou', 'ios')),
                              ('class_agnostic', (True, False))):
            if options[name] not in choices:
                raise ValueError(f'{name}={options[name]!r}: choose {" or ".join(map(repr, choices))}')
        threshold = options['merge_threshold']
        if isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0 <= threshold <= 1:
            raise ValueError(f'merge_threshold={threshold!r}: give a number from 0 to 1')

    def model_options(self, call: Call) -> dict[str, Any]:
        if 'score_threshold' not in call.in_force or 'score_threshold' in call.given:
            return {}
        return dict(score_threshold=float(_least_scores(call).min()))

    def read(self, sample: BaseDataElement, picture: Picture, call: Call) -> DetectionResult:
        """The instances of a sample whose score reaches that of their class."""
        instances = sample.get('pred_instances')
        if instances is None or 'bboxes' not in instances:
            raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a detector gives '
                                  'pred_instances with bboxes, labels and scores')
        classes = call.named_classes()
        labels, scores = to_numpy(instances.labels).astype(np.int64), to_numpy(instances.scores.float())
        check_labels(labels, classes)
        boxes = instances.bboxes
        boxes = to_numpy(picture.canvas.restore_boxes(getattr(boxes, 'tensor', boxes).float()))
        least = _least_scores(call)
        # In the padding of a long picture there is nothing to see.
        keep = (scores >= least[labels]) & (boxes[:, 2:] > boxes[:, :2]).all(-1)
        order = np.argsort(-scores[keep], kind='stable')
        masks = None
        if 'masks' in instances:
            masks = masks_one_by_one(instances.masks, np.flatnonzero(keep)[order], picture.canvas)
        return DetectionResult(
            picture.image, classes, as_palette(call.palette, len(classes)), boxes[keep][order], labels[keep][order],
            scores[keep][order], masks, source=picture.source, notes=picture.notes, min_score=least)

    def merge(self, tiles: Iterator[Tile], picture: Picture, call: Call) -> DetectionResult:
        """Each object once, see `densevit.inference.duplicates`; its score is the best that it has in a tile.

        ``merge='nmm'`` (non-maximum merging) joins the pieces of an object that is nowhere seen as a whole, ``'nms'``
        (non-maximum suppression) keeps the best of them.
        """
        size, places, found, masks = picture.image.shape[:2], [], [], []
        for result, top, left in tiles:
            places.append([left, top, left + result.image_size[1], top + result.image_size[0]])
            found.append((result.boxes + np.float32([left, top, left, top]), result.labels, result.scores))
            masks += [] if result.masks is None else [result.masks.moved(top, left, size)]
        places, counts = np.array(places), [len(labels) for _, labels, _ in found]
        boxes, labels, scores = map(np.concatenate, zip(*found, strict=True))
        is_tile = (places != [0, 0, *size[::-1]]).any(-1)
        keep = is_tile.repeat(counts) | beyond_tiles(boxes, places[is_tile])
        boxes, labels, scores, places = boxes[keep], labels[keep], scores[keep], places.repeat(counts, axis=0)[keep]
        masks = InstanceMasks.together(masks)[keep] if masks else None
        options = call.options
        joins = options['merge'] == 'nmm'
        groups = same_objects(
            Sightings(boxes, labels, scores, places, size, masks), options['merge_threshold'],
            options['merge_metric'], options['class_agnostic'], joins)
        scores = np.array([scores[[group.best, *group.others]].max() for group in groups], np.float32)
        groups = [groups[index] for index in np.argsort(-scores, kind='stable')]
        shown = [[group.best, *group.others] if joins and group.is_cut else [group.best] for group in groups]
        boxes = [[*boxes[pieces, :2].min(0), *boxes[pieces, 2:].max(0)] for pieces in shown]
        classes = call.named_classes()
        return DetectionResult(
            picture.image, classes, as_palette(call.palette, len(classes)), np.array(boxes, np.float32).reshape(-1, 4),
            labels[[group.best for group in groups]].astype(np.int64), -np.sort(-scores),
            None if masks is None else masks.unions(shown), source=picture.source, notes=picture.notes,
            min_score=_least_scores(call))


def _least_scores(call: Call) -> np.ndarray:
    """Below which scores objects are left out, by class (C,)."""
    default = call.given.get('score_threshold', MIN_SCORE)
    min_score: float | Mapping[str, float] | None = call.options['min_score']
    return class_thresholds(default if min_score is None else min_score, call.named_classes(), default)
