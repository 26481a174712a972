"""Checkpoints that OpenMMLab loads by itself."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader, load_from_ceph, load_from_local, load_from_pavi

from .reading import read_checkpoint

_MMENGINES = {  # beginning of a name to what reads it
    '': load_from_local,
    'pavi://': load_from_pavi,
    r'(\S+\:)?s3://': load_from_ceph,
    r'(\S+\:)?petrel://': load_from_ceph,
}
_lock, _users = Lock(), 0


@contextmanager
def safe_checkpoints() -> Iterator[None]:
    """While it is open, OpenMMLab reads checkpoint files with :func:`read_checkpoint`.

    mmengine goes on with ``weights_only=False`` where a pickle holds more than weights, and so runs what it holds. Its
    loader serves ``init_cfg=dict(type='Pretrained')`` in all its forms, ``pretrained=`` and ``teacher_ckpt=`` of stock
    models, backbones that call it by themselves, and ``resume`` of both runners. Exchanging the loader by mmengine's
    own ``register_scheme`` reaches them all, where a search through a config would reach the keys that it knows. What
    is downloaded is left to mmengine: there PyTorch's refusal holds.
    """
    global _users
    with _lock:
        _users += 1
        for prefix in _MMENGINES:
            CheckpointLoader.register_scheme(prefix, load_from_file, force=True)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            for prefix, loader in _MMENGINES.items() if not _users else ():
                CheckpointLoader.register_scheme(prefix, loader, force=True)


def load_from_file(filename: str | os.PathLike, map_location: Any = None) -> Mapping[str, Any]:
    """A checkpoint on the CPU, for mmengine, which takes from it what it needs to where the model is.

    ``meta.config`` is left out: mmengine runs this text as a config when it resumes. Its runners write ``meta.cfg``.

    Raises:
        WeightsError: As :func:`read_checkpoint`.
    """
    content = read_checkpoint(filename)
    if isinstance(meta := content.get('meta'), Mapping):
        content = {**content, 'meta': {key: value for key, value in meta.items() if key != 'config'}}
    return content
