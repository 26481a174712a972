"""The parts of a restoration network that features go through, and what comes out of them."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A part of a network.

    Attributes:
        module: It gives maps (B, C, h, w), or (B, h, w, C) if ``channels_last``.
        channels: C.
        channels_last: See above.
    """
    module: nn.Module
    channels: int
    channels_last: bool = False


@contextmanager
def outputs_of(stages: Sequence[Stage]) -> Iterator[list[Tensor]]:
    """What stages give while the network runs within, (B, C, h, w) each, in the order in which they run."""
    outputs: list[Tensor] = []

    def keep(stage: Stage, output: Tensor) -> None:
        outputs.append(output.permute(0, 3, 1, 2) if stage.channels_last else output)

    hooks = [stage.module.register_forward_hook(lambda _module, _given, output, stage=stage: keep(stage, output))
             for stage in stages]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
