"""What depth networks give."""
from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

DepthKind = Literal['metric', 'relative_depth', 'relative_disparity']


class DepthPrediction(NamedTuple):
    """What a network says of a batch of (B, 3, H, W) images.

    Attributes:
        depth: (B, h, w) over the padded images, at any resolution, in the unit that the network's ``kind`` names.
        sky: (B, h, w), before any activation: sky is where it is at least the network's ``sky_threshold``. None of
            networks that do not tell the sky.
    """
    depth: Tensor
    sky: Tensor | None = None
