"""An iteration-based training loop whose randomness depends on the seed and the iteration alone."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator

from ..registry import LOOPS


@LOOPS.register_module()
class SeededIterLoop(IterBasedTrainLoop):
    """Resumes without reading the data that has been trained on, and continues the very same run.

    Before each iteration torch is seeded from (seed, iteration, rank); with
    :class:`densevit.datasets.PositionSampler` and :class:`densevit.datasets.SeedAugmentation` a run that was stopped
    and resumed gives the weights of one that was not.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not so if the config has a seed for the sampler.
        self._sampler_has_run_seed = getattr(self.dataloader.sampler, 'seed', None) == self.runner.seed

    def run(self) -> torch.nn.Module:
        """Train to ``max_iters``; mmengine's own ``run``, but for the way to the first batch."""
        if self._iter > 0:
            self._skip_trained_data()
        runner = self.runner
        runner.call_hook('before_train')
        runner.call_hook('before_train_epoch')
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if runner.val_loop is not None and self._iter >= self.val_begin and due:
                runner.val_loop.run()
        runner.call_hook('after_train_epoch')
        runner.call_hook('after_train')
        return runner.model

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        torch.manual_seed(hash((self.runner.seed or 0, self._iter, get_rank())) % 2**63)
        super().run_iter(data_batch)

    def _skip_trained_data(self) -> None:
        sampler = self.dataloader.sampler
        if self._sampler_has_run_seed:
            sampler.seed = self.runner.seed  # that of the checkpoint, by now
        if hasattr(sampler, 'skip'):
            sampler.skip(self._iter * self.dataloader.batch_size)
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        else:
            for _ in range(self._iter):
                next(self.dataloader_iterator)
