"""Official code as an oracle: imported behind stand-ins for what is not installed, and records of its outputs.

``DENSEVIT_OFFICIAL_CODE`` names a folder with checkouts of the repositories. Without it a test compares with the record
in tests/golden/, which ``DENSEVIT_WRITE_GOLDEN=1`` writes anew from the official code.
"""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / 'golden'
_NUM_VALUES = 64


def repository(name: str) -> Path:
    """The checkout of an official repository; skips where there is none."""
    folder = os.environ.get('DENSEVIT_OFFICIAL_CODE')
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip('official code: set DENSEVIT_OFFICIAL_CODE')
    return Path(folder) / name


@contextmanager
def importable(*folders: Path, stubs: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[None]:
    """Import from checkouts, with stand-ins for modules that are not installed.

    Args:
        folders: Put at the front of ``sys.path``.
        stubs: Attributes of each stand-in by the module's full name; packages above it are made as well.
    """
    before = dict(sys.modules)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        for name, attributes in (stubs or {}).items():
            parts = name.split('.')
            for stop in range(1, len(parts) + 1):
                path = '.'.join(parts[:stop])
                if stop == len(parts) or path not in sys.modules:
                    module = ModuleType(path)
                    module.__path__ = []
                    sys.modules[path] = module
                if stop > 1:
                    setattr(sys.modules['.'.join(parts[:stop - 1])], parts[stop - 1], sys.modules[path])
            vars(sys.modules[name]).update(attributes)
        yield
    finally:
        del sys.path[:len(folders)]
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def fill(module: nn.Module, skip: Sequence[str] = (), seed: int = 0) -> dict[str, Tensor]:
    """Give a module random values that follow from the order and shapes of its state, and return that state."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not any(part in name for part in skip):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * (.1 if tensor.ndim > 1 else .5))
                if 'running_var' in name:
                    tensor.abs_()
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_close(ours: Sequence[Tensor], theirs: Sequence[Tensor], share: float = 1e-4) -> None:
    """Every level within a share of its own standard deviation."""
    assert len(ours) == len(theirs)
    for level, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, f'level {level}: {tuple(a.shape)} and {tuple(b.shape)}'
        error, std = (a - b).abs().max().item(), b.std().item()
        assert error <= share * std, f'level {level}: error {error:.3g}, standard deviation {std:.3g}'


def _summary(levels: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [dict(shape=list(x.shape), **{name: [float(f'{value:.7g}') for value in part.tolist()]
                                         for name, part in _parts(x).items()}) for x in levels]


def _parts(x: Tensor) -> dict[str, Tensor]:
    """What is recorded of a level (..., h, w): a mix-up of channels or a fault at a border shows in one of them."""
    x = x.detach().double()
    edges = dict(corners=x[..., ::max(x.shape[-2] - 1, 1), ::max(x.shape[-1] - 1, 1)], last_row=x[..., -1, :]
                 ) if x.ndim > 1 else {}
    return dict(moments=torch.stack((x.mean(), x.std())), values=_sampled(x),
                **{name: _sampled(part) for name, part in edges.items()})


def _sampled(x: Tensor) -> Tensor:
    """At most 64 values, spread evenly over all."""
    flat, count = x.flatten(), min(x.numel(), _NUM_VALUES)
    return flat[torch.arange(count) * (len(flat) - 1) // max(count - 1, 1)]


def write_golden(name: str, levels: Sequence[Tensor]) -> None:
    """Record outputs of official code, if asked to."""
    if os.environ.get('DENSEVIT_WRITE_GOLDEN'):
        GOLDEN.mkdir(exist_ok=True)
        rows = [json.dumps(level) for level in _summary(levels)]
        (GOLDEN / f'{name}.json').write_text('[' + ',\n'.join(rows) + ']\n')


def assert_golden(name: str, levels: Sequence[Tensor], share: float = 1e-4) -> None:
    """Compare with recorded outputs of official code: shapes, and what is recorded within a share of the deviation."""
    record = json.loads((GOLDEN / f'{name}.json').read_text())
    assert [list(x.shape) for x in levels] == [level['shape'] for level in record]
    for index, (x, level) in enumerate(zip(levels, record, strict=True)):
        deviation = level['moments'][1]
        for part, ours in _parts(x).items():
            error = (ours - torch.tensor(level[part], dtype=torch.double)).abs().max().item()
            assert error <= share * deviation, f'level {index}, {part}: error {error:.3g}, deviation {deviation:.3g}'
