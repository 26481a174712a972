"""A network that classifies pixels as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ...networks.segmentation.base import PixelNetwork
from ...registry import MODELS
from ..row_maps import ScoreMap, StoredMaps
from .segmentor import Segmentor
from .targets import check_labels, present_labels


@MODELS.register_module()
class PixelSegmentor(Segmentor):
    """Semantic segmentation by classifying pixels; learns from ``gt_sem_seg``.

    The arguments are those of :class:`Segmentor`.
    """
    network_class = PixelNetwork

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        padded = self._pad(inputs)
        for sample in data_samples:
            self._check_padded(inputs, sample.gt_sem_seg.data.shape[-2:], sample)
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples]).long()
        for sample, own in zip(data_samples, labels, strict=True):
            where = sample.get('seg_map_path', None) or sample.get('img_path', 'a sample')
            check_labels(present_labels(own), self.num_classes, self.ignore_index, where)
        bottom, right = (new - old for new, old in zip(padded.shape[-2:], inputs.shape[-2:], strict=True))
        return self.criterion(self.network(padded), F.pad(labels, (0, right, 0, bottom), value=self.ignore_index))

    def whole_scores(self, images: Tensor) -> list[ScoreMap]:
        padded = self._pad(images)
        return [StoredMaps(logits, padded.shape[-2:], images.shape[-2:]) for logits in self.network(padded)[-1]]

    def _build_criterion(self, options: dict[str, Any]) -> nn.Module:
        if options.get('ignore_index', self.ignore_index) != self.ignore_index:
            raise ValueError(f"criterion.ignore_index={options['ignore_index']}, but the model's is "
                             f'{self.ignore_index}: set model.ignore_index alone')
        return super()._build_criterion(dict(options, ignore_index=self.ignore_index))

    def _confidence(self, best: Tensor, scores: Tensor) -> Tensor:
        """Of a softmax."""
        return (scores - best).exp_().sum(0).reciprocal_()
