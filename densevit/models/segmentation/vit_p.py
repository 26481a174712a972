"""ViT-P with the weights of its proposer."""
from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mmengine.logging import print_log

from ...networks.segmentation import ViTP
from ...registry import MODELS
from ...weights.loading import load_weights


@MODELS.register_module(name='ViTP')
class ViTPAroundWeights(ViTP):
    """What a config builds as ``densevit.ViTP``: its proposer is filled from a checkpoint of its own.

    That is done before training, or when a checkpoint of the classifier alone is loaded.

    Args:
        proposer_weights: Path or URL of a checkpoint with any of the names that :func:`densevit.load_weights` knows;
            None where a checkpoint of the whole model follows.
        fill_proposer: False where a checkpoint follows that may hold the proposer as well, as
            :func:`densevit.models.pretraining.without_pretraining` sets it.
        args, kwargs: Arguments of :class:`densevit.networks.segmentation.ViTP`.
    """

    def __init__(
        self,
        *args: Any,
        proposer_weights: str | None = None,
        fill_proposer: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.proposer_weights, self.fill_proposer = proposer_weights, fill_proposer

    def init_weights(self) -> None:
        """Called by mmengine when a run begins."""
        if self.fill_proposer:
            self._fill()

    def after_loading(self, kept: Collection[str]) -> None:
        """Called when a checkpoint was loaded that left these tensors as they are."""
        if any(name.startswith('proposer.') for name in kept):
            self._fill()

    def _fill(self) -> None:
        if self.proposer_weights is None:
            print_log('The proposer of ViTP has random weights: give it head.proposer_weights, or go on from a '
                      'checkpoint of the whole model', logger='current', level=30)
        else:
            print_log(str(load_weights(self.proposer, self.proposer_weights)), logger='current')
