"""Mask annealing of EoMT (arXiv:2503.19108, section 3.3)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ..networks.segmentation import EoMT
from ..registry import HOOKS


def annealed_probs(
    step: int,
    total: int,
    num_blocks: int,
    starts: Sequence[float] | None = None,
    length: float | Sequence[float] = 1 / 6,
    power: float = .9,
) -> list[float]:
    """Mask probability of each block at a step of a run of ``total`` steps.

    Blocks are annealed one after the other: by default the first begins after 1/6 of the run and the last after 4/6,
    each over 1/6 of it, so that the last sixth is free of masks. This is the rule behind the authors' hand-set steps.

    Args:
        starts: Where each block's annealing begins, as shares of the run.
        length: Over which share of the run a block is annealed; one number, or one for each block.
    """
    if starts is None:
        gap = .5 / max(1, num_blocks - 1)
        starts = [1 / 6 + index * gap for index in range(num_blocks)]
    lengths = [length] * num_blocks if isinstance(length, float | int) else length
    if not len(starts) == len(lengths) == num_blocks:
        raise ValueError(f'{len(starts)} starts and {len(lengths)} lengths of annealing for {num_blocks} blocks: give '
                         'one for each block that processes queries')
    progress = [min(1., max(0., (step / total - start) / span)) for start, span in zip(starts, lengths, strict=True)]
    return [(1. - share)**power for share in progress]


@HOOKS.register_module()
class MaskAnnealingHook(Hook):
    """Sets the mask probabilities of an :class:`EoMT` before every iteration, from the length of the run.

    Args:
        starts, length, power: See :func:`annealed_probs`.
    """

    def __init__(self, starts: Sequence[float] | None = None, length: float | Sequence[float] = 1 / 6,
                 power: float = .9) -> None:
        self.starts, self.length, self.power = starts, length, power

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._set(runner, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        # A checkpoint or a validation after this iteration sees the probabilities of the next one.
        self._set(runner, runner.iter + 1)

    def _set(self, runner: Any, step: int) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for network in model.modules():
            if isinstance(network, EoMT) and network.masked_attention:
                network.set_mask_probs(annealed_probs(
                    step, runner.max_iters, network.num_blocks, self.starts, self.length, self.power))
