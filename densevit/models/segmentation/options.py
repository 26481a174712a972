"""The options of prediction that segmentation adds."""
from __future__ import annotations

from dataclasses import dataclass

from ..options import MapOptions


@dataclass(frozen=True)
class SegmentationOptions(MapOptions):
    """The options of segmentation models, beside those of :class:`densevit.models.options.MapOptions`.

    Attributes:
        keep_scores: Whether predictions hold the class scores of all pixels, ``seg_logits``: classes times pixels.
        encode_masks: Whether instances are run-length encoded as pycocotools does, instead of bool tensors.
        semantic: Whether panoptic predictions hold class labels as well, ``pred_sem_seg``.
    """
    keep_scores: bool = False
    encode_masks: bool = False
    semantic: bool = False
