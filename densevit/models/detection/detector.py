"""A detection network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from ...layers.boxes import to_centres, to_corners
from ...networks.detection import BoxPrediction, BoxTarget, DetectionNetwork
from ...registry import MODELS
from ..base import DenseModel
from ..options import MapOptions, PredictionOptions
from ..row_maps import RowMaps, StoredMaps, shown_size, to_original_size


class Found(NamedTuple):
    """The n objects of an image, the best first.

    Attributes:
        queries: Which query found each, (n,).
        labels: Class ids, (n,).
        scores: (n,), in [0, 1].
    """
    queries: Tensor
    labels: Tensor
    scores: Tensor


def best_objects(logits: Tensor, score_threshold: float = 0., top_k: int = 300) -> Found:
    """The best pairs of a query and a class; a query may be several objects of different classes.

    Args:
        logits: (Q, C).
        score_threshold: The least score, in [0, 1].
        top_k: The most objects of an image. COCO's AP counts the best 100.
    """
    scores = logits.float().sigmoid().flatten()
    scores, index = scores.topk(min(top_k, len(scores)))
    index = index[:int((scores >= score_threshold).sum())]
    return Found(index // logits.shape[1], index % logits.shape[1], scores[:len(index)])


@MODELS.register_module()
class Detector(DenseModel):
    """Finds objects of classes as boxes, with masks if the network has them.

    It learns from ``gt_instances`` with ``bboxes`` (corners in pixels of the image as it enters the network),
    ``labels`` and ``masks``, and gives ``pred_instances`` with ``bboxes`` (corners in pixels of the original image),
    ``labels``, ``scores`` and ``masks``, as mmdetection's models do. Images without objects are taken.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.LWDETR', ...)``).
        num_classes: The number of classes C.
        criterion: Options of the network's loss.
        test_cfg: Options of prediction: ``score_threshold`` and ``top_k``, see :func:`best_objects`.
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
        return best_objects

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        padded = self.pad(inputs)
        targets = [self.target(sample, padded.shape[-2:]) for sample in data_samples]
        most = max((len(target.labels) for target in targets), default=0)
        if most > self.network.num_queries and not self._warned:
            self._warned = True
            warnings.warn(f'an image has {most} objects and the network {self.network.num_queries} queries: the others '
                          'are not learned; set head.num_queries above the most objects of an image', stacklevel=2)
        predictions = self.network(padded, targets) if self.network.takes_targets else self.network(padded)
        return self.criterion(predictions, targets)

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
        shares = to_centres(boxes.float()) / _widths_and_heights(size, boxes.device)
        return BoxTarget(labels, shares, self._masks(instances, size) if self.network.has_masks else None)

    @staticmethod
    def _masks(instances: InstanceData, size: Sequence[int]) -> Tensor:
        """(n, H, W), padded as the image is."""
        masks = instances.masks
        if not isinstance(masks, Tensor):  # mmdetection's BitmapMasks or PolygonMasks
            masks = masks.to_tensor(torch.bool, instances.labels.device)
        height, width = masks.shape[-2:]
        return F.pad(masks, (0, size[1] - width, 0, size[0] - height))

    def predict_each(
        self,
        images: Tensor,
        samples: Sequence[BaseDataElement],
        options: PredictionOptions,
    ) -> Iterator[dict[str, Any]]:
        """``pred_instances`` of each image."""
        padded = self.pad(images)
        answer: BoxPrediction = self.network(padded)[-1]
        for image, (sample, logits, boxes) in enumerate(zip(samples, answer.logits[:, 0], answer.boxes[:, 0],
                                                            strict=True)):
            shown = shown_size(sample, images.shape[-2:])
            original = sample.get('ori_shape', shown)[:2]
            corners = to_corners(boxes.float()) * _widths_and_heights(padded.shape[-2:], boxes.device)
            limits = _widths_and_heights(shown, boxes.device)
            corners = torch.minimum(corners.clamp(min=0.), limits) * (
                _widths_and_heights(original, boxes.device) / limits)
            found = best_objects(logits, **options.postprocess)
            instances = InstanceData(bboxes=corners[found.queries], labels=found.labels, scores=found.scores)
            if answer.masks is not None:
                queries = answer.masks.queries[image, 0, found.queries].float()
                maps = StoredMaps(answer.masks._replace(features=answer.masks.features.float()).logits(image, queries),
                                  padded.shape[-2:], images.shape[-2:])
                instances.masks = _inside(to_original_size(maps, sample), boxes.device)
            yield dict(pred_instances=instances)


def _inside(logits: RowMaps, device: torch.device) -> Tensor:
    """Where mask logits (n, H, W) are above 0, made of some rows at a time."""
    masks = torch.empty(logits.channels, *logits.size, dtype=torch.bool, device=device)
    for rows, band in logits.bands(MapOptions().band_bytes(device)):
        masks[:, rows] = band > 0
    return masks


def _widths_and_heights(size: Sequence[int], device: torch.device) -> Tensor:
    """(H, W) as W, H, W, H: what the four numbers of a box are shares of."""
    height, width = size
    return torch.tensor([width, height, width, height], dtype=torch.float32, device=device)
