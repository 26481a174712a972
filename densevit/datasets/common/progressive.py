"""Batches whose images grow in the course of a run, while their number falls."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, islice
from math import ceil
from typing import NamedTuple

from mmengine.logging import print_log
from torch.utils.data import BatchSampler

from ...registry import DATA_SAMPLERS
from .seeding import PositionSampler, SeededIndex


class Stage(NamedTuple):
    """A part of a run.

    Attributes:
        start: The share of the run at which it begins.
        side: That of its square patches in pixels.
        images: Those of a batch of all processes in the paper; what counts is their share of the first stage's.
    """
    start: float
    side: int
    images: int


@DATA_SAMPLERS.register_module()
class ProgressivePatches(BatchSampler):
    """Larger patches in smaller batches, stage by stage (progressive learning: Restormer, arXiv:2111.09881, section 4).

    It is ``batch_sampler`` of a dataloader, and :class:`densevit.datasets.PairedCrop` in the pipeline crops to the side
    of the batch. Images follow each other as in :class:`PositionSampler`. The first stage has the ``batch_size`` of the
    dataloader, and later ones its share by ``images``, at least 1. As in :class:`densevit.datasets.InStages`, stages
    begin at shares of the run: iterations of a paper are ``92000 / max_iters``. The stream is a function of seed and
    iteration, so that a resumed run continues it; :class:`densevit.engine.SeededIterLoop` tells how long the run is.

    Args:
        sampler: The sampler of the dataloader.
        batch_size: Images of a batch of one process in the first stage, that of the dataloader.
        stages: (start, side, images) of each, see :class:`Stage`; starts ascend from 0.

    Raises:
        TypeError: The sampler is no :class:`PositionSampler`.
        ValueError: The starts of stages do not ascend from 0 to below 1, or a side or a number of images is below 1.
        RuntimeError: Batches are asked for and nobody has told how long the run is.
    """

    def __init__(self, sampler: PositionSampler, batch_size: int, stages: Sequence[Sequence[float]]) -> None:
        if type(sampler) is not PositionSampler:
            raise TypeError('ProgressivePatches continues the stream of a PositionSampler and not of a '
                            f'{type(sampler).__name__}: set '
                            "train_dataloader.sampler=dict(type='densevit.PositionSampler')")
        super().__init__(sampler, batch_size, drop_last=False)
        self.stages = [Stage(*stage) for stage in stages]
        starts = [stage.start for stage in self.stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise ValueError('stages of ProgressivePatches begin at shares of the run that ascend from 0, not '
                             f'{starts}: write iterations as 92000 / max_iters')
        if any(stage.side < 1 or stage.images < 1 for stage in self.stages):
            raise ValueError('stages of ProgressivePatches are (start, side, images) with sides and images from 1 on, '
                             f'not {[tuple(stage) for stage in self.stages]}')
        self.sizes = [max(1, batch_size * stage.images // self.stages[0].images) for stage in self.stages]
        self.start = 0
        self._max_iters: int | None = None

    def tell_length(self, max_iters: int) -> None:
        """Say how many iterations the run has, from which the beginnings of stages follow."""
        self._max_iters = max_iters
        told = [f'{stage.side} pixels x {size} from iteration {first}'
                for stage, size, first in zip(self.stages, self.sizes, self._firsts(), strict=True)]
        print_log(f'patches of batches: {"; ".join(told)}', 'current')

    def skip(self, num_batches: int) -> None:
        """Begin the stream ``num_batches`` batches later."""
        self.start = num_batches

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        if self._max_iters is None:
            raise RuntimeError('ProgressivePatches does not know how long the run is: set '
                               "train_cfg.type='densevit.SeededIterLoop', which tells it")
        firsts = self._firsts()
        # Images of whole stages, and of the one at hand.
        lengths = [later - first for first, later in zip(firsts, firsts[1:], strict=False)]
        before = [0, *accumulate(length * size for length, size in zip(lengths, self.sizes, strict=False))]
        stage = bisect_right(firsts, self.start) - 1
        self.sampler.skip(before[stage] + (self.start - firsts[stage]) * self.sizes[stage])
        stream = iter(self.sampler)
        for iteration in count(self.start):
            stage = bisect_right(firsts, iteration) - 1
            shape, progress = (self.stages[stage].side, ) * 2, iteration / self._max_iters
            yield [SeededIndex(index, index.seed, shape, progress) for index in islice(stream, self.sizes[stage])]

    def _firsts(self) -> list[int]:
        """The first iteration of each stage."""
        # Rounded first: a share times the length may be off a whole number by its last digit.
        return [ceil(round(stage.start * self._max_iters, 6)) for stage in self.stages]
