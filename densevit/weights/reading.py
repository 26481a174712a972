"""Checkpoint files to state dicts, without running what a pickle may hold."""
from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import one_line
from ..files import damaged_part
from ..pickles import is_plain_pickle, load_arrays, load_torch
from .load_report import WeightsError, WeightsNotFoundError

State = dict[str, Tensor]
_MAX_REPEATED = 2**28  # elements of one tensor that repeats what is in memory

# What holds the weights in training checkpoints. Averaged weights come first; mmengine's EMAHook already puts them
# into `state_dict` and the others into `ema_state_dict`.
_WRAPPERS = ('state_dict_ema', 'model_ema', 'state_dict', 'model', 'model_state', 'teacher', 'module', 'params')
_HEADER_KEYS = ('dataset_meta', 'classes', 'palette')  # of safetensors files, as JSON text
_FOLDER_FILES = ('model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin',
                 'pytorch_model.bin.index.json')
# Longer than the letter of a drive. A Path has one slash of two.
_URL = re.compile(r'([a-z][a-z0-9+.-]+):/')
_DOWNLOADED = ('http', 'https', 'file')
_RESAVE = "save the weights alone, torch.save(model.state_dict(), 'weights.pth'), or as safetensors"


class Checkpoint(NamedTuple):
    """A checkpoint as it was read.

    Attributes:
        state: Tensors by their names in the model that was saved.
        meta: What the checkpoint says of itself: the ``meta`` that mmengine's runner writes, or ``dataset_meta``,
            ``classes`` and ``palette`` of a safetensors header, or ``args``, the options of a training script as a
            mapping. Empty if there is none, and of an index of files.
    """
    state: State
    meta: Mapping[str, Any]


def read_weights(source: str | os.PathLike | Mapping[str, Any]) -> Checkpoint:
    """The tensors of a checkpoint and its ``meta``, for which each file is read once.

    The wrappers of Lightning, mmengine, ``torch.compile`` and DistributedDataParallel are taken off.

    Args:
        source: A file (safetensors or PyTorch), a folder or index file of Hugging Face, a URL, or a state dict.

    Raises:
        WeightsNotFoundError: There is no such file, or it cannot be downloaded.
        WeightsError: The file is damaged, holds no tensors, or is a pickle that would run code.
    """
    if isinstance(source, Mapping):
        return Checkpoint(unwrap(source, 'the state dict'), _meta_in(source))
    path = local_file(source)
    if path.is_dir():
        path = _in_folder(path)
    if path.name.endswith('.index.json'):
        return Checkpoint(_read_shards(path), {})
    content, meta = _read_file(path)
    return Checkpoint(unwrap(content, str(path)), meta)


def read_state_dict(source: str | os.PathLike | Mapping[str, Any]) -> State:
    """The tensors of :func:`read_weights` alone."""
    return read_weights(source).state


def read_checkpoint(path: str | os.PathLike) -> Mapping[str, Any]:
    """The whole content of one file: tensors by name, or a training checkpoint with what else it holds.

    Beside tensors and plain Python values it may hold what mmengine and argparse put there: numpy values,
    ``HistoryBuffer`` and ``Namespace``. A plain pickle may hold NumPy arrays (``.pkl`` of detectron2's model zoo).

    Raises:
        WeightsNotFoundError: There is no such file, or it cannot be downloaded.
        WeightsError: The file is damaged or is a pickle that would run code.
    """
    content, _ = _read_file(local_file(path))
    return content


def _read_file(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The content of a file and its ``meta``."""
    try:
        found = path.is_file()
    except OSError as error:  # a name that is too long
        raise WeightsNotFoundError(f'{str(path)[:200]}: no such checkpoint; check the path') from error
    if not found:
        raise WeightsNotFoundError(f'{path}: no such checkpoint; check the path')
    if path.suffix == '.npz':
        raise WeightsError(f'{path}: JAX weights are not read; timm gives the same weights as safetensors '
                           '(huggingface.co/timm)')
    with path.open('rb') as file:
        start = file.read(16)
    if not start:
        raise WeightsError(f'{path}: the file is empty; download or copy it again')
    if _begins_safetensors(start):
        return _read_safetensors(path)
    if not start.startswith((b'PK\x03\x04', b'\x80')):
        raise WeightsError(f'{path}: {_what_it_is(start)}, not a checkpoint; give a .safetensors or .pth file, and if '
                           'this one was downloaded, download it again')
    content = _read_pickle(path, load_arrays if is_plain_pickle(start) else load_torch)
    return content, _meta_in(content)


def _meta_in(content: Mapping[str, Any]) -> Mapping[str, Any]:
    meta, args = content.get('meta'), content.get('args')
    if isinstance(meta, Mapping):
        return meta
    return dict(args=vars(args)) if isinstance(args, Namespace) else {}


def _begins_safetensors(start: bytes) -> bool:
    return start[8:9] == b'{' and not start.startswith(b'PK')


def local_file(source: str | os.PathLike) -> Path:
    """The path of a file, downloaded to PyTorch's cache where it is a URL.

    Raises:
        WeightsNotFoundError: It could not be downloaded.
    """
    found = _URL.match(str(source))
    if found is None:
        return Path(source).expanduser()
    if found[1] not in _DOWNLOADED or not isinstance(source, str):
        raise WeightsNotFoundError(f'{source}: {found[1]} checkpoints are not looked up; download it first and give '
                                   'the path of the file')
    # A name of its own: epoch_12.pth is everybody's.
    name = f'{hashlib.sha256(source.encode()).hexdigest()[:8]}_{PurePosixPath(urlparse(source).path).name}'
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(source, str(path), progress=False)
        return path
    except (OSError, ValueError) as error:
        raise WeightsNotFoundError(f'{source}: could not be downloaded ({one_line(error, limit=120)}); download it '
                                   'first and give the path of the file') from error


def unwrap(content: Mapping[str, Any], source: str) -> State:
    """The tensors of a checkpoint by their names in the model that was saved.

    Raises:
        WeightsError: There are none.
    """
    seen = []
    while inner := next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None):
        if any(inner is outer for outer in (content, *seen)):
            raise WeightsError(f'{source}: a state dict that holds itself; {_RESAVE}')
        seen.append(content)
        content = inner
    state = {str(name).replace('_orig_mod.', ''): tensor for name, tensor in content.items()
             if isinstance(tensor, Tensor)}
    if not state:
        raise WeightsError(f'{source}: holds no tensors by name; {_RESAVE}')
    if odd := next((name for name, tensor in state.items() if _kind(tensor)), None):
        raise WeightsError(f'{source}: {odd} is a {_kind(state[odd])} tensor, which no model takes; {_RESAVE}')
    if all(name.startswith('module.') for name in state):
        state = {name.removeprefix('module.'): tensor for name, tensor in state.items()}
    return state


def _kind(tensor: Tensor) -> str:
    """'' of one whose values lie in memory, as those of a model do."""
    if tensor.is_nested or tensor.is_meta or tensor.is_quantized:
        return 'nested' if tensor.is_nested else 'meta' if tensor.is_meta else 'quantized'
    if tensor.layout != torch.strided:
        return 'sparse'
    # Of a few bytes, which resizing positions would write out.
    is_expanded = tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
    return 'repeated' if is_expanded and tensor.numel() > _MAX_REPEATED else ''


def _read_safetensors(path: Path) -> tuple[State, dict[str, Any]]:
    try:
        with safe_open(path, framework='pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f'{path}: the file is damaged or cut off ({one_line(error, limit=120)}); download or '
                           'copy it again') from error
    meta = {}
    for key in _HEADER_KEYS:
        try:
            meta[key] = json.loads(header[key])
        except (KeyError, ValueError, RecursionError):
            continue
    return state, meta


def _read_pickle(path: Path, load: Callable[[Path], Any]) -> Mapping[str, Any]:
    try:
        if zipfile.is_zipfile(path) and (part := damaged_part(path)) is not None:
            raise ValueError(f'the checksum of {part} is wrong')
        content = load(path)
    except pickle.UnpicklingError as error:
        if found := re.search(r'GLOBAL (\S+)', str(error)):
            raise WeightsError(f'{path}: a pickle that holds more than weights ({found[1].rstrip(".")}), which could '
                               f'run any code and was not opened; where you trust it, {_RESAVE}') from error
        raise WeightsError(f'{path}: the file is damaged or holds more than weights; download or copy it again, or '
                           f'{_RESAVE}') from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError, OverflowError,
            MemoryError) as error:
        raise WeightsError(f'{path}: the file is damaged or cut off ({one_line(error, limit=120)}); download or '
                           'copy it again') from error
    if not isinstance(content, Mapping):
        raise WeightsError(f'{path}: holds a {type(content).__name__} and no state dict; {_RESAVE}')
    return content


def _read_shards(index: Path) -> State:
    """All files that a Hugging Face index names, which lie beside it."""
    try:
        files = json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()
        files = sorted({_beside(str(index), file) for file in files})
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f'{index}: no such checkpoint; check the path') from error
    except WeightsError:
        raise
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, OSError) as error:
        raise WeightsError(f'{index}: not an index of checkpoint files; download it again') from error
    state = {}
    for file in files:
        state.update(unwrap(read_checkpoint(index.parent / file), file))
    if not state:
        raise WeightsError(f'{index}: names no checkpoint files; download it again')
    return state


def _beside(index: str, file: Any) -> str:
    """The name of a file in the index's folder or below it."""
    path = PureWindowsPath(file) if isinstance(file, str) else None  # knows drives and both slashes
    if path is None or path.anchor or '..' in path.parts or not path.name or not file.isprintable():
        raise WeightsError(f'{index}: names {str(file)[:80]!r}, which is no file beside it; give one checkpoint '
                           'file, or download all of them again')
    return file


def _in_folder(folder: Path) -> Path:
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsNotFoundError(f'{folder}: no checkpoint in this folder; it should hold {_FOLDER_FILES[0]} or '
                               f'{_FOLDER_FILES[2]}, or give the file itself')


def _what_it_is(start: bytes) -> str:
    if start.startswith(b'version https://'):
        return 'the pointer that git-lfs leaves in place of a large file'
    text = start.decode('latin-1')
    return 'a text file' if all(c.isprintable() or c.isspace() for c in text) else 'a file of another kind'
