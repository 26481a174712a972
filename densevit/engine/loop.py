"""An iteration-based training loop whose randomness depends on the seed and the iteration alone."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import IterBasedTrainLoop

from ..datasets.common.seeding import PositionSampler
from ..registry import LOOPS


@LOOPS.register_module()
class SeededIterLoop(IterBasedTrainLoop):
    """Resumes without reading the data that has been trained on, and continues the very same run.

    Before each iteration torch is seeded from (seed, iteration, rank); with
    :class:`densevit.datasets.PositionSampler` and :class:`densevit.datasets.SeedAugmentation` a run that was stopped
    and resumed gives the weights of one that was not. The sampler is told how long the run is, on which augmentation
    may depend (:class:`densevit.datasets.InStages`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not so if the config has a seed for the sampler.
        batches = self.dataloader.batch_sampler
        self._sampler = getattr(batches, 'sampler', self.dataloader.sampler)
        if isinstance(self._sampler, PositionSampler):
            self._sampler.tell_length(batches.batch_size, self.max_iters)
        self._sampler_has_run_seed = getattr(self._sampler, 'seed', None) == self.runner.seed

    def run(self) -> torch.nn.Module:
        """Train to ``max_iters``."""
        if self._iter > 0 and self._sampler_has_run_seed:
            self._sampler.seed = self.runner.seed  # that of the checkpoint, by now
        return super().run()

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        torch.manual_seed(hash((self.runner.seed or 0, self._iter, get_rank())) % 2**63)
        super().run_iter(data_batch)
