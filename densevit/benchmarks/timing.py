"""Time and memory of functions, taken by turns."""
from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import NamedTuple, TypeVar

import torch

from ..inference.memory import peak_bytes

Key = TypeVar('Key', bound=Hashable)


class Timing(NamedTuple):
    """What one function took: seconds of each run, and the most bytes that a run held on top of its inputs."""

    seconds: tuple[float, ...]
    peak_bytes: int

    @property
    def median(self) -> float:
        return median(self.seconds)


def measure_by_turns(
    runs: Mapping[Key, Callable[[], object]],
    repeats: int,
    device: torch.device,
    advance: Callable[[], None] = lambda: None,
) -> dict[Key, Timing]:
    """Time functions by turns, so that whatever else the machine does meets all of them alike.

    Args:
        runs: By name; first each is run once for nothing and once for its memory.
        repeats: Measurements of time.
        device: Where they run.
        advance: Called `count_runs` times, as the work goes on.

    Raises:
        ValueError: If `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f'--repeats must be at least 1, not {repeats}')
    peaks, seconds = {}, {key: [] for key in runs}
    for key, run in runs.items():
        run()
        peaks[key] = peak_bytes(run, device)
        advance()
    for _ in range(repeats):
        for key, run in runs.items():
            seconds[key].append(seconds_of(run, device))
            advance()
    return {key: Timing(tuple(seconds[key]), peaks[key]) for key in runs}


def count_runs(functions: int, repeats: int) -> int:
    """How often `measure_by_turns` reports an advance."""
    return functions * (repeats + 1)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Wall-clock time of one run, to the end of what it started on a GPU."""
    _synchronize(device)
    start = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
