"""A mask-classification network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..heads.segmentation import MaskPrediction, MaskTarget, semantic_scores
from ..heads.segmentation.networks import MaskNetwork
from ..registry import MODELS
from .segment_predictions import instance_fields, panoptic_fields, to_original_size
from .segment_targets import build_targets
from .segmentor import Segmentor


@MODELS.register_module()
class MaskSegmentor(Segmentor):
    """Segments images by classifying masks.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: C.
        task: Decides the targets and how predictions are read. ``'semantic'`` learns from ``gt_sem_seg`` and gives
            ``pred_sem_seg`` and ``seg_logits``, as mmsegmentation's models do; ``'instance'`` learns from
            ``gt_instances`` and gives ``pred_instances``, ``'panoptic'`` learns from both and gives
            ``pred_panoptic_seg``, as mmdetection's do.
        criterion: Options of the network's loss, :class:`densevit.heads.segmentation.MaskClassificationLoss` if it has
            none of its own.
        test_cfg: ``dict(mode='whole')``, or, for semantic segmentation, ``dict(mode='slide', crop_size=(h, w),
            stride=None)`` to average windows: evenly spread ones without a stride. For the other tasks also the
            thresholds of :func:`instance_masks` and :func:`panoptic_map`.
        stuff_classes: Ids of the classes that are not counted, for ``'panoptic'``.
        ignore_index: Label of pixels that belong to no class.
    """
    network_class = MaskNetwork

    def __init__(
        self,
        backbone: dict[str, Any],
        head: dict[str, Any],
        num_classes: int,
        task: Literal['semantic', 'instance', 'panoptic'] = 'semantic',
        criterion: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        stuff_classes: Collection[int] = (),
        ignore_index: int = 255,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(backbone, head, num_classes, criterion, test_cfg, ignore_index, data_preprocessor, init_cfg)
        self.task, self.stuff_classes = task, frozenset(stuff_classes)
        if self.window is not None and task != 'semantic':
            raise ValueError("windows are averaged in semantic segmentation only: set test_cfg.mode='whole' for "
                             f"task='{task}'")

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        padded = self._pad(inputs)
        bottom, right = (new - old for new, old in zip(padded.shape[-2:], inputs.shape[-2:], strict=True))
        targets = build_targets(data_samples, self.task, self.num_classes, self.ignore_index, self.stuff_classes)
        targets = [MaskTarget(target.labels, F.pad(target.masks, (0, right, 0, bottom))) for target in targets]
        return self.criterion(self.network(padded), targets)

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
    ) -> list[BaseDataElement]:
        """Data samples with what the task predicts, at the original image size."""
        if self.task == 'semantic':
            return super().predict(inputs, data_samples)
        samples = [BaseDataElement() for _ in inputs] if data_samples is None else list(data_samples)
        for sample, masks, classes in zip(samples, *self._proposals(inputs), strict=True):
            masks = to_original_size(masks, sample)
            if self.task == 'instance':
                sample.set_data(instance_fields(masks, classes, **self.reading))
            else:
                sample.set_data(panoptic_fields(masks, classes, self.stuff_classes, **self.reading))
        return samples

    def _scores(self, images: Tensor) -> Tensor:
        return semantic_scores(*self._proposals(images))

    def _proposals(self, images: Tensor) -> MaskPrediction:
        """Mask logits (B, Q, H, W) at the size of the images, and class logits (B, Q, C + 1)."""
        padded = self._pad(images)
        answer = self.network(padded)[-1]
        masks = F.interpolate(answer.masks.float(), padded.shape[-2:], mode='bilinear')
        masks = self.network.sigmoid_logits(masks[..., :images.shape[-2], :images.shape[-1]])
        return MaskPrediction(masks, answer.classes.float())
