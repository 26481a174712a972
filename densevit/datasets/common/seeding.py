"""Training data as a function of the seed and the position in the run alone, so that a resumed run continues it."""
from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...registry import DATA_SAMPLERS, TRANSFORMS


class SeededIndex(int):
    """A dataset index with what its sample depends on beside the image.

    Attributes:
        seed: That of its augmentation.
        shape: The (height, width) of its batch, in buckets and with progressive patches.
        progress: The share of the run that is done when it is learned, in [0, 1); None where the length of the run is
            not known.
    """
    seed: int
    shape: tuple[int, int] | None
    progress: float | None

    def __new__(cls, index: int, seed: int, shape: tuple[int, int] | None = None,
                progress: float | None = None) -> SeededIndex:
        self = super().__new__(cls, index)
        self.seed, self.shape, self.progress = seed, shape, progress
        return self

    def __getnewargs__(self) -> tuple[int, int, tuple[int, int] | None, float | None]:
        return int(self), self.seed, self.shape, self.progress


def shape_of_batch(results: Mapping[str, Any]) -> tuple[int, int] | None:
    """The (height, width) that the batch of a sample was given; an index of numpy has another shape."""
    index = results.get('sample_idx')
    return index.shape if isinstance(index, SeededIndex) else None


@DATA_SAMPLERS.register_module()
class PositionSampler(Sampler):
    """An endless stream of shuffled epochs that can begin at any position.

    The stream is the same for every number of processes; process r of n takes positions r, r + n, ... of it.

    Args:
        dataset: The dataset, or anything with a length.
        shuffle: Whether to shuffle each epoch anew.
        seed: The seed of the stream; processes agree upon one when it is omitted.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        self.dataset, self.size = dataset, len(dataset)
        if not self.size:
            raise ValueError('the training dataset has no sample: check data_root, data_prefix and ann_file')
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.start = 0
        self._batch_size = self._max_iters = None

    def tell_length(self, batch_size: int, max_iters: int) -> None:
        """Say how long the run is, from which the progress of each sample follows.

        It is that of the iteration, ``iteration / max_iters``, so that samples that were read ahead, or in a resumed
        run, see the same as the model does.

        Args:
            batch_size: Images of a batch of one process.
            max_iters: Iterations of the run.
        """
        self._batch_size, self._max_iters = batch_size, max_iters

    def skip(self, num_samples: int) -> None:
        """Begin the stream ``num_samples`` samples of this process later."""
        self.start = num_samples

    def __iter__(self) -> Iterator[SeededIndex]:
        position = self.start * self.world_size + self.rank
        epoch, order = -1, None
        while True:
            if position // self.size != epoch:
                epoch = position // self.size
                order = self._order(epoch)
            index, shape = order[position % self.size]
            yield SeededIndex(index, hash((self.seed, position)) % 2**32, shape, self._progress(position))
            position += self.world_size

    def _progress(self, position: int) -> float | None:
        if self._max_iters is None:
            return None
        return position // self.world_size // self._batch_size / self._max_iters

    def _order(self, epoch: int) -> list[tuple[int, tuple[int, int] | None]]:
        """The images of an epoch, each with the shape of its batch."""
        return [(index, None) for index in self._shuffled(epoch)]

    def _shuffled(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(hash((self.seed, epoch)) % 2**63)
        return torch.randperm(self.size, generator=generator).tolist()

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Part of mmengine's interface; the stream knows its epochs."""


@TRANSFORMS.register_module()
class SeedAugmentation(BaseTransform):
    """First of a pipeline: seeds Python's, numpy's and torch's generators from the sample's position in the run.

    Without :class:`PositionSampler`, and under a dataset wrapper that renumbers its samples, there is no position.

    Args:
        fixed: Where there is none: seed from this number and that of the sample in its dataset, so that what
            validation draws is the same each time. None draws what comes.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        index = results.get('sample_idx')
        seed = getattr(index, 'seed', None)
        if seed is None and self.fixed is not None:
            seed = hash((self.fixed, int(index or 0))) % 2**32
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
        return results
