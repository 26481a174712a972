"""A network that classifies pixels as an mmengine model: data samples in, losses or data samples out."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ...networks.segmentation.base import PixelNetwork
from ...registry import MODELS
from ..row_maps import RowMaps, StoredMaps
from .segmentor import Segmentor
from .targets import check_labels, present_labels


@MODELS.register_module()
class PixelSegmentor(Segmentor):
    """Segments images by classifying pixels; it learns from ``gt_sem_seg`` and gives ``pred_sem_seg``.

    The arguments are those of :class:`Segmentor`.
    """
    network_class = PixelNetwork

    def loss(self, inputs: Tensor, data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Losses of (B, 3, H, W) normalised images."""
        for sample in data_samples:
            self.check_padded(inputs, sample.gt_sem_seg.data.shape[-2:], sample)
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples]).long()
        for sample, own in zip(data_samples, labels, strict=True):
            where = sample.get('seg_map_path', None) or sample.get('img_path', 'a sample')
            check_labels(present_labels(own), self.num_classes, self.ignore_index, where)
        return self.criterion(self.network(self.pad(inputs)), self.pad(labels, self.ignore_index))

    def whole_scores(self, images: Tensor) -> list[RowMaps]:
        padded = self.pad(images)
        return [StoredMaps(logits, padded.shape[-2:], images.shape[-2:]) for logits in self.network(padded)[-1]]

    def build_criterion(self, options: dict[str, Any]) -> nn.Module:
        if options.get('ignore_index', self.ignore_index) != self.ignore_index:
            raise ValueError(f"criterion.ignore_index={options['ignore_index']}, but the model's is "
                             f'{self.ignore_index}: set model.ignore_index alone')
        return super().build_criterion(dict(options, ignore_index=self.ignore_index))

    def confidence(self, best: Tensor, scores: Tensor) -> Tensor:
        """The softmax of the best score."""
        return (scores - best).exp_().sum(0).reciprocal_()
