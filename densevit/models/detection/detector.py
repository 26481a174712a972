"""A detection network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from ...layers.boxes import to_centres, to_corners
from ...networks.detection import BoxPrediction, BoxTarget, DetectionNetwork
from ...registry import MODELS
from ..base import DenseModel
from ..options import PredictionOptions
from ..row_maps import shown_size


def best_boxes(logits: Tensor, boxes: Tensor, score_threshold: float = 0., top_k: int = 300) -> InstanceData:
    """The best pairs of a query and a class, the best first; a query may be several objects of different classes.

    Args:
        logits: (Q, C).
        boxes: (Q, 4), in any form.
        score_threshold: The least score, in [0, 1].
        top_k: The most objects of an image. COCO's AP counts the best 100.

    Returns:
        ``bboxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,) in [0, 1].
    """
    scores = logits.float().sigmoid().flatten()
    scores, index = scores.topk(min(top_k, len(scores)))
    index = index[:int((scores >= score_threshold).sum())]
    queries, labels = index // logits.shape[1], index % logits.shape[1]
    return InstanceData(bboxes=boxes[queries], labels=labels, scores=scores[:len(index)])


@MODELS.register_module()
class Detector(DenseModel):
    """Finds objects of classes as boxes.

    It learns from ``gt_instances`` with ``bboxes`` (corners in pixels of the image as it enters the network) and
    ``labels``, and gives ``pred_instances`` with ``bboxes`` (corners in pixels of the original image), ``labels`` and
    ``scores``, as mmdetection's models do. Images without objects are taken.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.LWDETR', ...)``).
        num_classes: The number of classes C.
        criterion: Options of the network's loss.
        test_cfg: Options of prediction: ``score_threshold`` and ``top_k``, see :func:`best_boxes`.
        data_preprocessor: Config of what makes (B, 3, H, W) normalised images of a batch.
        init_cfg: Config of mmengine's initialisation.
    """
    task = 'detection'
    network_class = DetectionNetwork

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        num_classes: int,
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, head, num_classes, criterion, test_cfg, data_preprocessor, init_cfg)
        self._warned = False

    @property
    def postprocessor(self) -> Callable:
        return best_boxes

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        padded = self.pad(inputs)
        targets = [self.target(sample, padded.shape[-2:]) for sample in data_samples]
        most = max((len(target.labels) for target in targets), default=0)
        if most > self.network.num_queries and not self._warned:
            self._warned = True
            warnings.warn(f'an image has {most} objects and the network {self.network.num_queries} queries: the others '
                          'are not learned; set head.num_queries above the most objects of an image', stacklevel=2)
        return self.criterion(self.network(padded), targets)

    def target(self, sample: BaseDataElement, size: Sequence[int]) -> BoxTarget:
        """The objects of a data sample, their boxes as shares of an image of (H, W) pixels with its pads.

        Raises:
            ValueError: A label is no class of the model.
        """
        instances = sample.gt_instances
        labels, boxes = instances.labels, instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes)  # of mmdetection's HorizontalBoxes
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            wrong = labels[(labels < 0) | (labels >= self.num_classes)]
            raise ValueError(f'{sample.get("img_path", "a sample")} holds label {int(wrong[0])}, but the model has '
                             f'classes 0 to {self.num_classes - 1}: correct the labels, or set model.num_classes')
        return BoxTarget(labels, to_centres(boxes.float()) / _widths_and_heights(size, boxes.device))

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: PredictionOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_instances`` of each image."""
        padded = self.pad(images)
        answer: BoxPrediction = self.network(padded)[-1]
        for sample, logits, boxes in zip(samples, answer.logits[:, 0], answer.boxes[:, 0], strict=True):
            shown = shown_size(sample, images.shape[-2:])
            original = sample.get('ori_shape', shown)[:2]
            corners = to_corners(boxes.float()) * _widths_and_heights(padded.shape[-2:], boxes.device)
            limits = _widths_and_heights(shown, boxes.device)
            corners = torch.minimum(corners.clamp(min=0.), limits) * (
                _widths_and_heights(original, boxes.device) / limits)
            yield dict(pred_instances=best_boxes(logits, corners, **options.postprocess))


def _widths_and_heights(size: Sequence[int], device: torch.device) -> Tensor:
    """(H, W) as W, H, W, H: what the four numbers of a box are shares of."""
    height, width = size
    return torch.tensor([width, height, width, height], dtype=torch.float32, device=device)
