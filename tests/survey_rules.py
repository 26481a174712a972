"""What a survey of data compares labels with."""
from __future__ import annotations

from typing import Any

from densevit.datasets.segmentation.checks import SegmentationChecks
from densevit.datasets.segmentation.label_maps import LabelRule


def labels(num_classes: int | None = None, **options: Any) -> list[SegmentationChecks]:
    """The checks of a model with these classes."""
    return [SegmentationChecks(LabelRule(num_classes, **options))]
