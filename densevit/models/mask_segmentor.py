"""A mask-classification network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..backbones import pad_to_multiple
from ..heads.segmentation import MaskClassificationLoss, MaskPrediction, MaskTarget, semantic_scores
from ..layers import average_windows
from ..registry import MODELS
from .segment_predictions import instance_fields, panoptic_fields, semantic_fields, to_original_size
from .segment_targets import build_targets


@MODELS.register_module()
class MaskSegmentor(BaseModel):
    """Segments images by classifying masks.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: C.
        task: Decides the targets and how predictions are read. ``'semantic'`` learns from ``gt_sem_seg`` and gives
            ``pred_sem_seg`` and ``seg_logits``, as mmsegmentation's models do; ``'instance'`` learns from
            ``gt_instances`` and gives ``pred_instances``, ``'panoptic'`` learns from both and gives
            ``pred_panoptic_seg``, as mmdetection's do.
        criterion: Arguments of :class:`densevit.heads.segmentation.MaskClassificationLoss`.
        test_cfg: ``dict(mode='whole')``, or, for semantic segmentation, ``dict(mode='slide', crop_size=(h, w),
            stride=None)`` to average windows: evenly spread ones without a stride. For the other tasks also the
            thresholds of :func:`instance_masks` and :func:`panoptic_map`.
        stuff_classes: Ids of the classes that are not counted, for ``'panoptic'``.
        ignore_index: Label of pixels that belong to no class.
    """

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
        super().__init__(data_preprocessor, init_cfg)
        self.network = MODELS.build(dict(head, backbone=MODELS.build(backbone), num_classes=num_classes))
        self.criterion = MaskClassificationLoss(num_classes, **(criterion or {}))
        self.num_classes, self.task, self.ignore_index = num_classes, task, ignore_index
        self.stuff_classes = frozenset(stuff_classes)
        self.reading = dict(test_cfg or {})
        self.window = _take_window(self.reading, task)

    @property
    def backbone(self) -> torch.nn.Module:
        return self.network.backbone

    def init_weights(self) -> None:
        super().init_weights()
        if hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: Literal['tensor', 'loss', 'predict'] = 'tensor',
    ) -> Any:
        """Losses, predictions or raw mask predictions of (B, 3, H, W) normalised images."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.network(inputs)

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
        samples = [BaseDataElement() for _ in inputs] if data_samples is None else list(data_samples)
        if self.task == 'semantic':
            for sample, scores in zip(samples, self.class_scores(inputs), strict=True):
                sample.set_data(semantic_fields(to_original_size(scores, sample)))
            return samples
        for sample, masks, classes in zip(samples, *self._proposals(inputs), strict=True):
            masks = to_original_size(masks, sample)
            if self.task == 'instance':
                sample.set_data(instance_fields(masks, classes, **self.reading))
            else:
                sample.set_data(panoptic_fields(masks, classes, self.stuff_classes, **self.reading))
        return samples

    def class_scores(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W) class scores, whole or averaged over windows."""
        if self.window is None:
            return self._scores(images)
        return average_windows(images, self.window['crop_size'], self._scores, self.window.get('stride'))

    def _scores(self, images: Tensor) -> Tensor:
        return semantic_scores(*self._proposals(images))

    def _proposals(self, images: Tensor) -> MaskPrediction:
        """Mask logits (B, Q, H, W) at the size of the images, and class logits (B, Q, C + 1)."""
        padded = self._pad(images)
        masks, classes = self.network(padded)[-1]
        masks = F.interpolate(masks.float(), padded.shape[-2:], mode='bilinear')
        return MaskPrediction(masks[..., :images.shape[-2], :images.shape[-1]], classes.float())

    def _pad(self, images: Tensor) -> Tensor:
        """Whole patches, so that the network's masks and the images cover the same."""
        return pad_to_multiple(images, self.backbone.stride)


def _take_window(test_cfg: dict[str, Any], task: str) -> dict[str, Any] | None:
    """Take the inference mode out of a ``test_cfg``; None for whole images.

    Raises:
        ValueError: The mode is unknown, or windows are asked for where they cannot be averaged.
    """
    mode = test_cfg.pop('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ValueError(f"test_cfg.mode='{mode}': choose 'whole' or 'slide'")
    if mode == 'slide' and task != 'semantic':
        raise ValueError("windows are averaged in semantic segmentation only: set test_cfg.mode='whole' for "
                         f"task='{task}'")
    window = {key: test_cfg.pop(key) for key in ('crop_size', 'stride') if key in test_cfg}
    if mode == 'slide' and 'crop_size' not in window:
        raise ValueError("test_cfg.mode='slide' needs crop_size=(height, width) of the windows")
    return window if mode == 'slide' else None
