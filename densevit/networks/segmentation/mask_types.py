"""What mask-classification networks give and what they are taught."""
from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class MaskPrediction(NamedTuple):
    """Q mask proposals per image.

    Attributes:
        masks: Logits, (B, Q, h, w), over the whole input image, padded to whole patches.
        classes: Logits, (B, Q, C + 1); the last is "no object".
    """
    masks: Tensor
    classes: Tensor


class MaskTarget(NamedTuple):
    """The segments of one image.

    Attributes:
        labels: Class ids, (n,), int64.
        masks: (n, H, W), bool or float in {0, 1}.
    """
    labels: Tensor
    masks: Tensor
