"""How fast multi-scale deformable attention is, and how much memory it takes, beside mmcv's PyTorch version."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers import multi_scale_deformable_attention
from .timing import Timing, count_runs, measure_by_turns

MMCV, OURS = 'mmcv', 'densevit'
FORWARD, BOTH = 'forward', 'forward + backward'
_SPREAD = .05  # of the points around their query, in maps

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AttentionCase:
    """An encoder layer: each pixel of each level is a query that looks around itself on all levels.

    Args:
        levels: Height and width of the map of each level.
        heads: The number of attention heads.
        channels: The number of channels of a head.
        points: How many points a query reads, for each head and level.
        batch: The number of images.

    Raises:
        ValueError: If one of the numbers is below 1.
    """

    levels: tuple[tuple[int, int], ...] = ((64, 64), (32, 32), (16, 16))
    heads: int = 8
    channels: int = 32
    points: int = 4
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ('heads', 'channels', 'points', 'batch'):
            if getattr(self, name) < 1:
                raise ValueError(f'--{name} must be at least 1, not {getattr(self, name)}')
        if not self.levels or min(map(min, self.levels)) < 1:
            raise ValueError(f'--levels must have at least one pixel each, not {self.levels}')

    @property
    def num_queries(self) -> int:
        return sum(height * width for height, width in self.levels)

    def inputs(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Values, locations and weights, random but always the same."""
        generator = torch.Generator().manual_seed(0)
        points = self.batch, self.num_queries, self.heads, len(self.levels), self.points
        value = torch.randn(self.batch, self.num_queries, self.heads, self.channels, generator=generator)
        centres = torch.cat([
            torch.cartesian_prod((torch.arange(height) + .5) / height, (torch.arange(width) + .5) / width).flip(-1)
            for height, width in self.levels])
        offsets = torch.randn(*points, 2, generator=generator) * _SPREAD
        weights = torch.rand(points, generator=generator).flatten(3).softmax(-1).view(points)
        return value.to(device), (centres.view(1, -1, 1, 1, 1, 2) + offsets).to(device), weights.to(device)


def implementations(levels: Sequence[tuple[int, int]], compiled: bool) -> dict[str, Attention]:
    """Functions of values, locations and weights, mmcv's first."""
    from mmcv.ops import multi_scale_deform_attn as module

    theirs = getattr(module, 'replaced', module.multi_scale_deformable_attn_pytorch)  # densevit.compat
    both = {
        MMCV: lambda value, locations, weights: theirs(value, levels, locations, weights),
        OURS: lambda value, locations, weights: multi_scale_deformable_attention(value, levels, locations, weights)}
    return {name: torch.compile(function) for name, function in both.items()} if compiled else both


def measure(
    functions: dict[str, Attention],
    inputs: tuple[Tensor, Tensor, Tensor],
    repeats: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[tuple[str, str], Timing]:
    """Time and memory of implementations, forward and with the backward pass.

    Args:
        functions: The implementations by name.
        inputs: What each of them is called with.
        repeats, advance: See :func:`densevit.benchmarks.timing.measure_by_turns`.

    Returns:
        The timings by direction and implementation.
    """
    runs = {(direction, name): _run(direction, function, inputs)
            for direction in (FORWARD, BOTH) for name, function in functions.items()}
    return measure_by_turns(runs, repeats, inputs[0].device, advance)


def num_runs(functions: dict[str, Attention], repeats: int) -> int:
    """How many runs `measure` makes."""
    return count_runs(2 * len(functions), repeats)


def largest_difference(functions: dict[str, Attention], inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """The largest absolute difference between the outputs of the two implementations."""
    with torch.no_grad():
        first, second = (function(*inputs) for function in functions.values())
    return (first - second).abs().max().item()


def _run(direction: str, function: Attention, inputs: tuple[Tensor, Tensor, Tensor]) -> Callable[[], None]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]

    def forward() -> None:
        with torch.no_grad():
            function(*inputs)

    def both() -> None:
        out = function(*leaves)
        torch.autograd.grad(out, leaves, torch.ones_like(out))

    return forward if direction == FORWARD else both
