"""How fast multi-scale deformable attention is, and how much memory it takes, beside mmcv's PyTorch version."""
from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ..layers import multi_scale_deformable_attention

MMCV, OURS = 'mmcv', 'densevit'
FORWARD, BOTH = 'forward', 'forward + backward'
_SPREAD = .05  # of the points around their query, in maps

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AttentionCase:
    """An encoder layer: each pixel of each level is a query that looks around itself on all levels.

    Args:
        levels: (height, width) of each.
        heads: Of attention.
        channels: A head.
        points: A head and level.
        batch: Images.

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


class Measurement(NamedTuple):
    """What one implementation took for one direction."""

    direction: str
    implementation: str
    seconds: tuple[float, ...]
    peak_bytes: int

    @property
    def median(self) -> float:
        return median(self.seconds)


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
) -> list[Measurement]:
    """Time implementations by turns, so that whatever else the machine does meets all of them alike.

    Args:
        functions: By name.
        inputs: Of each.
        repeats: Measurements, after one run that does not count.
        advance: Called after each run: `num_runs` times.

    Returns:
        One for each direction and implementation.

    Raises:
        ValueError: If `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f'--repeats must be at least 1, not {repeats}')
    runs = {(direction, name): _run(direction, function, inputs)
            for direction in (FORWARD, BOTH) for name, function in functions.items()}
    peaks, seconds = {}, {key: [] for key in runs}
    for key, run in runs.items():
        run()
        peaks[key] = _peak_bytes(run, inputs[0].device)
        advance()
    for _ in range(repeats):
        for key, run in runs.items():
            seconds[key].append(_seconds(run, inputs[0].device))
            advance()
    return [Measurement(*key, tuple(seconds[key]), peaks[key]) for key in runs]


def num_runs(functions: dict[str, Attention], repeats: int) -> int:
    """How many runs `measure` makes."""
    return 2 * len(functions) * (repeats + 1)


def largest_difference(functions: dict[str, Attention], inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Between the outputs of the two implementations."""
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


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _peak_bytes(run: Callable[[], None], device: torch.device) -> int:
    """Most that a run has allocated at any time, on top of its inputs."""
    if device.type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    allocated = peak = 0
    for change in _allocations(record):
        allocated += change
        peak = max(peak, allocated)
    return peak


def _allocations(record: profile) -> Iterator[int]:
    """Bytes taken from and given back (negative) to PyTorch's allocator, in the order of time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    events = [event for event in events if event.get('name') == '[memory]']
    yield from (event['args']['Bytes'] for event in sorted(events, key=lambda event: event['ts']))
