"""How much memory there is and how much of it a prediction takes."""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log2
from pathlib import Path
from threading import Lock

import torch
from torch.profiler import ProfilerActivity, profile

_PROFILER = Lock()  # PyTorch has one for the process
_LOG_LEVEL = 'KINETO_LOG_LEVEL'  # the environment variable of its least level
_CGROUPS = (('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current'),
            ('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory/memory.usage_in_bytes'))
PROBE = 128  # pixels, the side of the larger of two tiles that are measured
_STEP = 32  # pixels between sides that are tried
_SHARE = .5  # of free memory for a batch of tiles; the joined picture and other programs need some, too


def free_bytes(device: torch.device) -> int:
    """Memory that can be had on a device: of a GPU, with what PyTorch keeps for reuse; of a machine, within the limit
    of a container.

    Raises:
        ImportError: Of a machine without ``/proc`` only psutil tells, and it is not installed.
    """
    if device.type == 'cuda':
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    free = _available_bytes()
    for limit_file, used_file in _CGROUPS:
        limit, used = _number(limit_file), _number(used_file)
        if limit is not None and used is not None:
            free = min(free, max(0, limit - used))
    return free


def _available_bytes() -> int:
    meminfo = Path('/proc/meminfo')
    if meminfo.is_file():
        lines = dict(line.split(':', 1) for line in meminfo.read_text().splitlines() if ':' in line)
        if 'MemAvailable' in lines:
            return 1024 * int(lines['MemAvailable'].split()[0])
    try:
        import psutil
    except ImportError as error:
        raise ImportError("tiles='auto' (--auto-tiles) needs psutil on this system to tell how much memory is free: "
                          'run pip install psutil, or give tiles=(height, width) (--tiles)') from error
    return psutil.virtual_memory().available


def _number(file: str) -> int | None:
    try:
        return int(Path(file).read_text())
    except (OSError, ValueError):  # there is none, or it says 'max'
        return None


def largest_tile(peak: Callable[[int], int], free: int, longest: int) -> int:
    """The side of the largest square tile that memory suffices for.

    A small tile and one of twice its side are measured; what is needed grows by the power of the side that the two
    tell, at least the second: attention over a whole tile needs more than its pixels.

    Args:
        peak: Bytes that a tile of a side takes.
        free: Bytes that there are.
        longest: The picture's longer side; no tile needs to be larger.

    Returns:
        A multiple of 32 pixels, or ``longest``.

    Raises:
        MemoryError: It does not suffice for the smallest tile.
    """
    small, large = max(1, peak(PROBE // 2)), max(1, peak(PROBE))
    power = max(2., log2(large / small))
    budget = _SHARE * free
    for side in (longest, *range(longest // _STEP * _STEP, 0, -_STEP)):
        if large * (side / PROBE)**power <= budget:
            return side
    raise MemoryError(f'{free / 1e6:.0f} MB are free, and a tile of {PROBE // 2} pixels takes {small / 1e6:.0f} MB: '
                      'close other programs, or give a smaller batch_size (--batch-size)')


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Most that a run has allocated at any time, on top of its inputs."""
    if device.type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with _PROFILER, _silent_profiler(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    allocated = peak = 0
    for change in _allocations(record):
        allocated += change
        peak = max(peak, allocated)
    return peak


@contextmanager
def _silent_profiler() -> Iterator[None]:
    """Keep the log of PyTorch's profiler, where nobody asks for it, from the screen.

    It tells when it begins and ends, and calls a machine without a GPU an error; what really fails is raised. The level
    is read when the first profile of a process begins.
    """
    is_asked_for = _LOG_LEVEL in os.environ
    os.environ.setdefault(_LOG_LEVEL, '99')
    try:
        yield
    finally:
        if not is_asked_for:
            del os.environ[_LOG_LEVEL]


def _allocations(record: profile) -> Iterator[int]:
    """Bytes taken from and given back (negative) to PyTorch's allocator, in the order of time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    events = [event for event in events if event.get('name') == '[memory]']
    yield from (event['args']['Bytes'] for event in sorted(events, key=lambda event: event['ts']))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on a GPU or on the machine."""
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in (
            'not enough memory', "can't allocate memory", 'Cannot allocate memory')))
