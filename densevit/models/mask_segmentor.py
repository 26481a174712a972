"""A mask-classification network as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from ..heads.segmentation import MaskClassificationLoss, semantic_scores
from ..layers import average_windows
from ..registry import MODELS
from .segment_targets import build_targets


@MODELS.register_module()
class MaskSegmentor(BaseModel):
    """Segments images by classifying masks.

    Args:
        backbone: Config of a backbone (``dict(type='densevit.PlainViT', ...)``).
        head: Config of a network built around the backbone (``dict(type='densevit.EoMT', ...)``).
        num_classes: C.
        task: Decides the targets and how predictions are read. ``'semantic'`` learns from ``gt_sem_seg`` and gives
            ``pred_sem_seg`` and ``seg_logits``, as mmsegmentation's models do.
        criterion: Arguments of :class:`densevit.heads.segmentation.MaskClassificationLoss`.
        test_cfg: ``dict(mode='whole')``, or ``dict(mode='slide', crop_size=(h, w), stride=None)`` to average windows:
            evenly spread ones without a stride.
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
        ignore_index: int = 255,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.network = MODELS.build(dict(head, backbone=MODELS.build(backbone), num_classes=num_classes))
        self.criterion = MaskClassificationLoss(num_classes, **(criterion or {}))
        self.num_classes, self.task, self.ignore_index = num_classes, task, ignore_index
        self.test_cfg = test_cfg or dict(mode='whole')

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
            targets = build_targets(data_samples, self.task, self.num_classes, self.ignore_index)
            return self.criterion(self.network(inputs), targets)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.network(inputs)

    def class_scores(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H, W) class scores, whole or averaged over windows."""
        if self.test_cfg.get('mode', 'whole') == 'slide':
            return average_windows(images, self.test_cfg['crop_size'], self._scores, self.test_cfg.get('stride'))
        return self._scores(images)

    def _scores(self, images: Tensor) -> Tensor:
        masks, classes = self.network(images)[-1]
        masks = F.interpolate(masks.float(), images.shape[-2:], mode='bilinear')
        return semantic_scores(masks, classes.float())

    def predict(self, inputs: Tensor, data_samples: Sequence[BaseDataElement] | None) -> list[BaseDataElement]:
        """Data samples with ``pred_sem_seg`` (1, H, W) and ``seg_logits`` (C, H, W) at the original image size."""
        if data_samples is None:
            data_samples = [BaseDataElement() for _ in inputs]
        for sample, scores in zip(data_samples, self.class_scores(inputs), strict=True):
            height, width = sample.get('img_shape', scores.shape[-2:])[:2]
            scores = scores[None, :, :height, :width]
            scores = F.interpolate(scores, sample.get('ori_shape', (height, width))[:2], mode='bilinear')[0]
            sample.set_data(dict(
                seg_logits=PixelData(data=scores), pred_sem_seg=PixelData(data=scores.argmax(0, keepdim=True))))
        return list(data_samples)
