"""What models leave in OpenMMLab's data samples, read into results."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pycocotools import mask as coco_masks
from torch import Tensor

from densevit.visualization.palette import Color

from .canvas import Canvas
from .result import SegmentationResult

if TYPE_CHECKING:
    from mmengine.structures import BaseDataElement

_INSTANCE_OFFSET = 1000  # mmdet: panoptic id = label + 1000 * instance, and no instance, 0, for stuff
_ROWS_AT_ONCE = 128


class PredictionError(RuntimeError):
    """A model gave nothing that can be shown; the message is one line and says what to do about it."""


@dataclass(frozen=True)
class PredictionReader:
    """Turns data samples into results.

    Attributes:
        min_score: instances below it are left out.
    """

    classes: tuple[str, ...]
    palette: tuple[Color, ...] | None
    min_score: float

    def read(self, sample: BaseDataElement, image: np.ndarray, canvas: Canvas, source: Path | None
             ) -> SegmentationResult:
        """The result for a picture (H, W, 3).

        Args:
            sample: with ``pred_panoptic_seg``, ``pred_instances`` with masks, or ``pred_sem_seg``: the first found.

        Raises:
            PredictionError: none of them is there.
            ValueError: sizes or labels do not fit the picture or the classes.
        """
        readers: dict[str, Callable[..., SegmentationResult]] = dict(
            pred_panoptic_seg=self._panoptic, pred_instances=self._instances, pred_sem_seg=self._semantic)
        for field, reader in readers.items():
            if field in sample:
                return reader(sample, image, canvas, source)
        raise PredictionError(f'the model predicted {sorted(sample.keys()) or "nothing"}; a segmentation model gives '
                              f'one of {list(readers)}')

    def _semantic(self, sample: BaseDataElement, image: np.ndarray, canvas: Canvas, source: Path | None
                  ) -> SegmentationResult:
        labels = sample.pred_sem_seg.data.reshape(canvas.image.shape[:2]).long()
        confidence = None
        if 'seg_confidence' in sample:
            confidence = sample.seg_confidence.data.reshape(canvas.image.shape[:2]).float()
            confidence = _to_numpy(canvas.restore(confidence))
        elif 'seg_logits' in sample:
            confidence = _to_numpy(canvas.restore(class_confidence(sample.seg_logits.data, labels)))
        return SegmentationResult.from_semantic(
            image, _to_numpy(canvas.restore(labels)), self.classes, self.palette, confidence, source)

    def _instances(self, sample: BaseDataElement, image: np.ndarray, canvas: Canvas, source: Path | None
                   ) -> SegmentationResult:
        instances = sample.pred_instances
        if 'masks' not in instances:
            raise PredictionError('the model predicted boxes without masks; use a model for instance segmentation')
        if (instances.scores < self.min_score).any():  # choosing copies all masks
            instances = instances[instances.scores >= self.min_score]
        masks = instances.masks
        if len(masks) and isinstance(masks[0], dict):  # run lengths
            masks = np.stack([coco_masks.decode(mask) for mask in masks]).astype(bool)
        masks = torch.as_tensor(masks).reshape(-1, *canvas.image.shape[:2])
        return SegmentationResult.from_instances(
            image, _to_numpy(canvas.restore(masks)), _to_numpy(instances.labels), _to_numpy(instances.scores),
            self.classes, self.palette, source)

    def _panoptic(self, sample: BaseDataElement, image: np.ndarray, canvas: Canvas, source: Path | None
                  ) -> SegmentationResult:
        ids = torch.as_tensor(sample.pred_panoptic_seg.sem_seg).reshape(canvas.image.shape[:2])
        ids = _to_numpy(canvas.restore(ids))
        present = np.flatnonzero(np.bincount(ids.ravel()))
        labels = present % _INSTANCE_OFFSET
        is_segment = labels < len(self.classes)  # mmdet marks pixels of no segment with the number of classes
        labels = labels[is_segment]
        index = np.full(present[-1] + 1, -1, np.int32)
        index[present[is_segment]] = np.arange(len(labels))
        return SegmentationResult.from_panoptic(
            image, index[ids], labels, np.full(len(labels), np.nan), self.classes, self.palette, source,
            is_instance=present[is_segment] >= _INSTANCE_OFFSET)


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


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
