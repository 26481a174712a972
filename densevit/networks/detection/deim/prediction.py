"""What the network predicts in training beside classes and boxes."""
from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class EdgeBins(NamedTuple):
    """Boxes as distributions of their edges, see :mod:`.edges`.

    Attributes:
        logits: Of each bin of each edge (left, upper, right, lower), (B, G, Q, 4, N + 1).
        references: The boxes from which edges are measured, (B, G, Q, 4): centre, width and height in [0, 1].
        values: What the bins stand for, (N + 1,).
        scale: The unit of ``values`` is the side of a reference over it, (1,).
    """
    logits: Tensor
    references: Tensor
    values: Tensor
    scale: Tensor


class EdgePrediction(NamedTuple):
    """A :class:`~densevit.networks.detection.BoxPrediction` with what made it.

    Attributes:
        logits: (B, G, Q, C).
        boxes: (B, G, Q, 4): centre, width and height in [0, 1] over the padded images.
        masks: None.
        edges: The distributions of the boxes; None where boxes were predicted as such.
        noised: The same prediction of the denoising queries, whose G groups hold 2 * M queries: the object i of an
            image with a little noise is query i, with more noise query M + i. None where there are none.
    """
    logits: Tensor
    boxes: Tensor
    masks: None = None
    edges: EdgeBins | None = None
    noised: EdgePrediction | None = None
