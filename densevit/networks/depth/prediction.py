"""What depth networks give."""
from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

DepthKind = Literal['metric', 'relative_depth', 'relative_disparity']


class DepthBins(NamedTuple):
    """Depth as a mixture of bins, for losses that look at the bins themselves.

    Attributes:
        logits: (B, N, h, w): what the probabilities of the N bins are made of.
        centres: (N,) or (B, N): the depth of each bin in metres, ascending; of clusters (PolyMaX) in no order.
    """
    logits: Tensor
    centres: Tensor


class DepthPrediction(NamedTuple):
    """What a network says of a batch of (B, 3, H, W) images.

    Attributes:
        depth: (B, h, w) over the padded images, at any resolution, in the unit that the network's ``kind`` names.
        sky: (B, h, w), before any activation: sky is where it is at least the network's ``sky_threshold``. None of
            networks that do not tell the sky.
        bins: What ``depth`` was made of, in train mode; None of networks without bins.
    """
    depth: Tensor
    sky: Tensor | None = None
    bins: DepthBins | None = None
