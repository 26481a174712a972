"""Mask proposals as rows of maps: their logits, and the class scores that they add up to at each pixel."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...networks.segmentation import semantic_scores
from ...networks.segmentation.base import MaskNetwork
from ..row_maps import FLOAT_BYTES, RowMaps, StoredMaps


class MaskLogits(RowMaps):
    """Logits of mask proposals, whose sigmoid is the probability.

    Masks that compete for pixels do so at the size at which they are read.

    Args:
        network: The network that predicted the masks.
        masks: The masks of all proposals, as the network gives them.
        queries: The proposals whose logits are wanted, (n,); all of them without it.
    """

    def __init__(self, network: MaskNetwork, masks: RowMaps, queries: Tensor | None = None) -> None:
        super().__init__(masks.channels if queries is None else len(queries), masks.size, masks.row_bytes)
        self._network, self._masks, self._queries = network, masks, queries

    @classmethod
    def stored(cls, network: MaskNetwork, masks: Tensor, padded: Sequence[int], size: Sequence[int],
               queries: Tensor | None = None) -> MaskLogits:
        """Logits of masks (Q, h, w) over a padded image, see :class:`densevit.models.row_maps.StoredMaps`."""
        if queries is not None and not network.masks_compete:
            masks, queries = masks[queries], None
        return cls(network, StoredMaps(masks, padded, size), queries)

    def rows(self, start: int, stop: int) -> Tensor:
        logits = self._network.sigmoid_logits(self._masks.rows(start, stop)[None])[0]
        return logits if self._queries is None else logits[self._queries]

    def resized(self, content: Sequence[int], size: Sequence[int]) -> MaskLogits:
        return MaskLogits(self._network, self._masks.resized(content, size), self._queries)


class MaskScores(RowMaps):
    """Class scores of each pixel, from mask logits (Q, H, W) and class logits (Q, C + 1)."""

    def __init__(self, logits: RowMaps, classes: Tensor) -> None:
        channels = classes.shape[-1] - 1
        super().__init__(channels, logits.size, logits.row_bytes + 2 * FLOAT_BYTES * channels * logits.size[1])
        self._logits, self._classes = logits, classes

    def rows(self, start: int, stop: int) -> Tensor:
        return semantic_scores(self._logits.rows(start, stop), self._classes)
