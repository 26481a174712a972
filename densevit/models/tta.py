"""Test-time augmentation of semantic segmentation."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..registry import MODELS
from .segment_predictions import semantic_fields

_FLIPPED_AXES = dict(horizontal=(-1, ), vertical=(-2, ), diagonal=(-2, -1))


@MODELS.register_module()
class SemanticTTA(BaseTTAModel):
    """Averages class scores over resized and mirrored copies of an image.

    mmsegmentation's ``SegTTAModel`` takes logits and a ``decode_head``; mask classification gives scores, which are
    averaged as they are.

    Args:
        module: The model, or its config; its predictions hold ``seg_logits`` (C, H, W) at the original image size.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[BaseDataElement]]) -> list[BaseDataElement]:
        """One data sample per image from those of its copies."""
        merged = []
        for copies in data_samples_list:
            scores = torch.stack([self._upright(copy) for copy in copies]).mean(0)
            sample = copies[0]
            sample.set_data(semantic_fields(scores))
            merged.append(sample)
        return merged

    def _upright(self, sample: BaseDataElement) -> Tensor:
        """(C, H, W) scores, as of the image before it was mirrored."""
        scores = sample.seg_logits.data
        # mmsegmentation's own models have mirrored theirs back already; ours leave that to whoever mirrored the image.
        if not sample.get('flip', False) or hasattr(self.module, 'postprocess_result'):
            return scores
        return scores.flip(_FLIPPED_AXES[sample.get('flip_direction', 'horizontal')])
