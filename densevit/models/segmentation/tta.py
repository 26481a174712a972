"""Test-time augmentation of semantic segmentation."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from ...registry import MODELS
from ..row_maps import MeanMaps, MirroredMaps, RowMaps
from .segmentor import Segmentor

_FLIPPED_AXES = dict(horizontal=(-1, ), vertical=(-2, ), diagonal=(-2, -1))


@MODELS.register_module()
class SemanticTTA(BaseTTAModel):
    """Averages class scores over resized and mirrored copies of an image.

    Scores of our own models are averaged and read some rows at a time. Models of others give ``seg_logits`` at the
    original image size, of which those of all copies are in memory at once.

    Args:
        module: The model, or its config.
    """

    @torch.no_grad()
    def test_step(self, data: dict[str, Any], **options: Any) -> list[BaseDataElement]:
        """Predict each image from all its copies.

        Args:
            data: ``dict(inputs=..., data_samples=...)``, lists over copies of lists over images.
            options: Options of this call alone, for models of ours.

        Returns:
            A data sample for each image.
        """
        if not isinstance(self.module, Segmentor):
            if options:
                raise ValueError(f'{", ".join(options)}: options go with models of densevit, and '
                                 f'{type(self.module).__name__} is none; leave them out')
            return super().test_step(data)
        settings, copies = self.module.options_of_call(options), []
        for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True):
            batch = self.module.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
            maps = self.module.score_maps(batch['inputs'], batch['data_samples'], settings)
            copies.append([(sample, _upright(scores, sample))
                           for sample, scores in zip(batch['data_samples'], maps, strict=True)])
        device, merged = batch['inputs'].device, []
        for of_image in zip(*copies, strict=True):
            sample = of_image[0][0]
            scores = MeanMaps([scores for _, scores in of_image])
            sample.set_data(self.module.read_scores(scores, device, settings))
            merged.append(sample)
        return merged

    def merge_preds(self, data_samples_list: Sequence[Sequence[BaseDataElement]]) -> list[BaseDataElement]:
        """One data sample per image from those of its copies, of models that give ``seg_logits`` (C, H, W)."""
        merged = []
        for copies in data_samples_list:
            scores = torch.stack([self._upright_logits(copy) for copy in copies]).mean(0)
            sample = copies[0]
            labels = scores.max(0, keepdim=True).indices
            sample.set_data(dict(seg_logits=PixelData(data=scores), pred_sem_seg=PixelData(data=labels)))
            merged.append(sample)
        return merged

    def _upright_logits(self, sample: BaseDataElement) -> Tensor:
        """Scores (C, H, W) of a copy, over the image before it was mirrored."""
        scores = sample.seg_logits.data
        # mmsegmentation's own models have mirrored theirs back already; others leave that to who mirrored the image.
        if not sample.get('flip', False) or hasattr(self.module, 'postprocess_result'):
            return scores
        return scores.flip(_flipped_axes(sample))


def _upright(scores: RowMaps, sample: BaseDataElement) -> RowMaps:
    """The scores of a copy mirrored back, so that they lie over the image before it was mirrored."""
    return MirroredMaps(scores, _flipped_axes(sample)) if sample.get('flip', False) else scores


def _flipped_axes(sample: BaseDataElement) -> tuple[int, ...]:
    return _FLIPPED_AXES[sample.get('flip_direction', 'horizontal')]
