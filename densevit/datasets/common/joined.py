"""Several data sets as one, whose augmentation stays a function of the position in the run."""
from __future__ import annotations

from bisect import bisect_right
from typing import Any

from mmengine.dataset import ConcatDataset

from ...registry import DATASETS
from .seeding import SeededIndex


@DATASETS.register_module()
class JoinedDataset(ConcatDataset):
    """mmengine's ``ConcatDataset``, but a sample keeps the seed of its augmentation.

    mmengine numbers samples within their own data set and drops what else the index says: behind it
    :class:`densevit.datasets.SeedAugmentation` finds no seed, and a run that is resumed learns from other crops; and
    :class:`densevit.datasets.InStages` does not know how far the run is.

    Args:
        datasets: Data sets or their configs, of one ``metainfo``.
        options: Other arguments of :class:`mmengine.dataset.ConcatDataset`.
    """

    def __getitem__(self, index: int) -> Any:
        self.full_init()
        position = index + len(self) if index < 0 else int(index)
        if not 0 <= position < len(self):
            raise IndexError(f'there is no sample {int(index)} of {len(self)}')
        which = bisect_right(self.cumulative_sizes, position)
        own = position - (self.cumulative_sizes[which - 1] if which else 0)
        if isinstance(index, SeededIndex):
            own = SeededIndex(own, index.seed, index.shape, index.progress)
        return self.datasets[which][own]
