"""Plain pickles of NumPy arrays by name, as detectron2's model zoo has them, without running what a pickle may hold."""
from __future__ import annotations

import codecs
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

# What arrays are made of; protocols before 3 write bytes as encoded strings, 5 has arrays as buffers.
_ALLOWED = {
    ('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype, ('_codecs', 'encode'): codecs.encode,
    ('collections', 'OrderedDict'): dict
} | {(f'numpy.{core}.{module}', name): np.empty(0).__reduce_ex__(protocol)[0]
     for core in ('core', '_core')
     for module, name, protocol in (('multiarray', '_reconstruct', 2), ('numeric', '_frombuffer', 5))}
# How torch.save began before its files were archives.
_LEGACY_TORCH = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)


class ForbiddenGlobalError(pickle.UnpicklingError):
    """The pickle would call something that makes no array."""


def is_plain_pickle(start: bytes) -> bool:
    """Whether a file that begins so is a pickle that ``torch.save`` has not written."""
    return start.startswith(b'\x80') and not start.startswith(_LEGACY_TORCH)


def load_arrays(path: Path) -> Any:
    """The content of a plain pickle, its arrays as tensors.

    Raises:
        ForbiddenGlobalError: It holds more than arrays and plain Python values; nothing of it has run.
        Exception: It is damaged: whatever ``pickle`` raises.
    """
    with path.open('rb') as file:
        return _to_tensors(_ArrayUnpickler(file).load())


class _ArrayUnpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ForbiddenGlobalError(f'GLOBAL {module}.{name}')
        return _ALLOWED[module, name]


def _to_tensors(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _to_tensors(value) for name, value in content.items()}
    if isinstance(content, np.ndarray) and content.dtype.kind in 'fiub':
        return torch.from_numpy(np.array(content, dtype=content.dtype.newbyteorder('=')))
    return content
