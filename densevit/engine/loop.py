"""An iteration-based training loop whose randomness depends on the seed and the iteration alone."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from ..datasets.common.progressive import ProgressivePatches
from ..datasets.common.seeding import PositionSampler
from ..registry import LOOPS


@LOOPS.register_module()
class SeededIterLoop(IterBasedTrainLoop):
    """Resumes without reading the data that has been trained on, and continues the very same run.

    Before each iteration torch is seeded from (seed, iteration, rank); with
    :class:`densevit.datasets.PositionSampler` and :class:`densevit.datasets.SeedAugmentation` a run that was stopped
    and resumed gives the weights of one that was not. The sampler is told how long the run is, on which augmentation
    may depend (:class:`densevit.datasets.InStages`, :class:`densevit.datasets.ProgressivePatches`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not so if the config has a seed for the sampler.
        batches = self.dataloader.batch_sampler
        self._sampler = getattr(batches, 'sampler', self.dataloader.sampler)
        if isinstance(batches, ProgressivePatches):
            batches.tell_length(self.max_iters)
            self.dataloader_iterator = _Batches(self.dataloader)
        elif isinstance(self._sampler, PositionSampler):
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


class _Batches:
    """The endless batches of a loader, from any of them on; mmengine's iterator counts on batches of one size."""

    def __init__(self, dataloader: DataLoader) -> None:
        self.dataloader = dataloader
        self._iterator: Iterator | None = None

    def skip_iter(self, num_iters: int) -> None:
        """Begin with batch ``num_iters``, before the first is asked for."""
        self.dataloader.batch_sampler.skip(num_iters)

    def __next__(self) -> Sequence[dict]:
        if self._iterator is None:
            self._iterator = iter(self.dataloader)
        return next(self._iterator)
