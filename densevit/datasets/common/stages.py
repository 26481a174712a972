"""Transforms that change in the course of a run."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from mmcv.transforms import BaseTransform, Compose

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class InStages(BaseTransform):
    """Other transforms in each stage of a run, such as none in its last epochs.

    Stages are shares of the run, as ``set_progress`` of networks has them: they mean the same whether it is counted in
    iterations or epochs, and move with its length. The progress of a sample travels in its index, from
    :class:`densevit.datasets.PositionSampler` and :class:`densevit.engine.SeededIterLoop`, so that stages begin at the
    same sample with any number of workers and in a resumed run. Where it is not known (a look at one image, another
    sampler or loop, a dataset wrapper that renumbers its samples) the last stage holds.

    Args:
        stages: Pairs of the share of the run at which a stage begins, ascending from 0 to below 1, and the configs of
            its transforms.

    Raises:
        ValueError: The shares do not begin at 0, do not ascend, or one is no share.
    """

    def __init__(self, stages: Sequence[tuple[float, Sequence[dict[str, Any]]]]) -> None:
        self.stages = [(float(start), list(transforms)) for start, transforms in stages]
        self.starts = [start for start, _ in self.stages]
        if not self.starts or self.starts[0] != 0 or self.starts != sorted({*self.starts}) or self.starts[-1] >= 1:
            raise ValueError(f'stages of a run begin at shares of it that ascend from 0 to below 1, not {self.starts}: '
                             'give .64 for 64 %')
        self.transforms = [Compose(transforms) for _, transforms in self.stages]

    def __iter__(self) -> Iterator[Compose]:
        return iter(self.transforms)

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        progress = getattr(results.get('sample_idx'), 'progress', None)
        stage = len(self.starts) if progress is None else bisect_right(self.starts, progress)
        return self.transforms[stage - 1](results)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(stages={self.stages})'
