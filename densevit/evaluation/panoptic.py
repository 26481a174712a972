"""PQ of a run, as a metric of mmengine."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from ..datasets.segmentation.panoptic_segments import read_segment_ids, segment_masks
from ..registry import METRICS
from .pq import VOID, PanopticCounts, indexed, panoptic_counts, panoptic_quality

_OFFSET = 1000  # mmdetection's panoptic ids are label + 1000 * instance


@METRICS.register_module()
class PanopticMetric(BaseMetric):
    """PQ, SQ and RQ in percent: of all classes, of things (``PQ_th``) and of stuff (``PQ_st``).

    Reads ``pred_panoptic_seg.sem_seg`` (1, H, W), the ids of mmdetection's models, and the ground truth that the data
    sample names: its pipeline ends with ``dict(type='densevit.PackWithTruth')`` over a
    :class:`densevit.datasets.PanopticDataset`.

    Args:
        classwise: Whether the log gets a table of all classes.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        KeyError: A data sample lacks the prediction or the ground truth.
    """

    def __init__(self, classwise: bool = False, collect_device: str = 'cpu', prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the counts of each image, by class."""
        num_classes = len(self._meta('classes'))
        for sample in data_samples:
            if sample.get('segments_info', 0) is None:  # a file of images alone
                continue
            counts = panoptic_counts(*_truth(sample), *_prediction(sample, num_classes), num_classes)
            # A row for each class that occurs: label, sum of IoU, TP, FP, FN.
            present = np.flatnonzero(sum(counts))
            self.results.append(np.column_stack((present, *(part[present] for part in counts))))

    def compute_metrics(self, results: Sequence[np.ndarray]) -> dict[str, float]:
        """Percentages from the counts of all images."""
        total = PanopticCounts.zeros(len(self._meta('classes')))
        for rows in results:
            for part, column in zip(total, rows.T[1:], strict=True):
                part[rows[:, 0].astype(int)] += column
        quality = panoptic_quality(total, self._meta('isthing'))
        per_class = quality.pop('per_class')
        if self.classwise:
            self._log_classes(per_class)
        return {name: 100 * value for name, value in quality.items()}

    def _meta(self, key: str) -> Sequence[Any]:
        if key not in (self.dataset_meta or {}):
            raise KeyError(f"PanopticMetric needs '{key}' in the dataset's metainfo: use densevit.PanopticDataset")
        return self.dataset_meta[key]

    def _log_classes(self, per_class: Mapping[str, np.ndarray]) -> None:
        lines = [f'{"class":24}' + ''.join(f'{name:>8}' for name in per_class)]
        for label, name in enumerate(self._meta('classes')):
            lines.append(f'{name[:24]:24}' + ''.join(f'{100 * values[label]:8.2f}' for values in per_class.values()))
        print_log('\n' + '\n'.join(lines), MMLogger.get_current_instance())


def _truth(sample: Mapping[str, Any]) -> tuple[np.ndarray, list[int], list[bool]]:
    """Indices (H, W), labels and crowds of the true segments; other categories' pixels are void."""
    if 'seg_map_path' not in sample or 'segments_info' not in sample:
        raise KeyError("PanopticMetric finds no ground truth: let the test pipeline end with dict(type='"
                       "densevit.PackWithTruth'), and use densevit.PanopticDataset")
    path, segments = sample['seg_map_path'], sample['segments_info']
    ids = read_segment_ids(path)
    truth = np.full(ids.shape, VOID, np.int64)
    labels: list[int] = []
    crowds: list[bool] = []
    for segment, inside in segment_masks(ids, segments, path):
        if segment['category'] is not None:
            truth[inside] = len(labels)
            labels.append(segment['category'])
            crowds.append(bool(segment['iscrowd']))
    return truth, labels, crowds


def _prediction(sample: Mapping[str, Any], num_classes: int) -> tuple[np.ndarray, list[int]]:
    """Indices (H, W) and labels of the predicted segments."""
    if 'pred_panoptic_seg' not in sample:
        raise KeyError("PanopticMetric finds no pred_panoptic_seg in what the model gives: set model.task='panoptic'")
    ids = torch.as_tensor(sample['pred_panoptic_seg']['sem_seg'])[0].cpu().numpy()
    present = [id_ for id_ in np.unique(ids).tolist() if id_ % _OFFSET < num_classes]
    return indexed(ids, {id_: index for index, id_ in enumerate(present)}), [id_ % _OFFSET for id_ in present]
