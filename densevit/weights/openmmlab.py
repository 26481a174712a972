"""Checkpoints and files of data that OpenMMLab reads by itself."""
from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, BinaryIO

import yaml
from mmengine.fileio import PickleHandler, YamlHandler, register_handler
from mmengine.runner.checkpoint import CheckpointLoader, load_from_ceph, load_from_local, load_from_pavi

from ..errors import one_line
from ..pickles import load_plain
from .reading import read_checkpoint

_MMENGINES = {  # beginning of a name to what reads it
    '': load_from_local,
    'pavi://': load_from_pavi,
    r'(\S+\:)?s3://': load_from_ceph,
    r'(\S+\:)?petrel://': load_from_ceph,
}
_lock, _users = Lock(), 0


class _PlainPickles(PickleHandler):

    def load_from_fileobj(self, file: BinaryIO, **kwargs: Any) -> Any:
        try:
            return load_plain(file)
        except pickle.UnpicklingError as error:
            raise ValueError(f'a pickle that the config names as data holds more than values and arrays '
                             f'({one_line(error, limit=80)}), which could run any code; write it as JSON') from error


class _PlainYaml(YamlHandler):

    def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
        try:
            return super().load_from_fileobj(file, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(f'YAML that the config names as data cannot be read: {one_line(error)}') from error


@contextmanager
def safe_reading() -> Iterator[None]:
    """While it is open, OpenMMLab reads checkpoints with :func:`read_checkpoint`, and YAML and pickles as plain data.

    mmengine goes on with ``weights_only=False`` where a pickle holds more than weights, and so runs what it holds. Its
    loader serves ``init_cfg=dict(type='Pretrained')`` in all its forms, ``pretrained=`` and ``teacher_ckpt=`` of stock
    models, backbones that call it by themselves, and ``resume`` of both runners; its handlers of files serve
    ``ann_file``, ``proposal_file`` and ``class_weight``. Exchanging them by mmengine's own ``register_scheme`` and
    ``register_handler`` reaches them all, where a search through a config would reach the keys that it knows. What is
    downloaded is left to mmengine: there PyTorch's refusal holds.
    """
    global _users
    with _lock:
        _users += 1
        _register(dict.fromkeys(_MMENGINES, load_from_file), _PlainPickles, _PlainYaml)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _register(_MMENGINES, PickleHandler, YamlHandler)


def _register(loaders: Mapping[str, Any], pickles: type[PickleHandler], yamls: type[YamlHandler]) -> None:
    for prefix, loader in loaders.items():
        CheckpointLoader.register_scheme(prefix, loader, force=True)
    register_handler(['pickle', 'pkl'])(pickles)
    register_handler(['yaml', 'yml'])(yamls)


def load_from_file(filename: str | os.PathLike, map_location: Any = None) -> Mapping[str, Any]:
    """A checkpoint on the CPU, for mmengine, which takes from it what it needs to where the model is.

    ``meta.config`` is left out: mmengine runs this text as a config when it resumes. Its runners write ``meta.cfg``.

    Raises:
        WeightsError: The file is damaged or is a pickle that would run code.
    """
    content = read_checkpoint(filename)
    if isinstance(meta := content.get('meta'), Mapping):
        content = {**content, 'meta': {key: value for key, value in meta.items() if key != 'config'}}
    return content
