"""What pickled checkpoints hold beside tensors, without calling anything that they name.

The globals that a pickle may name are bound to classes which only record what they were given. What was recorded
becomes an array, a number or a history of logged values by checked code, after the pickle has ended. NumPy's own
constructors do not defend themselves: ``numpy.ndarray`` takes any offset, a structured ``numpy.dtype`` any layout, and
whoever may assign to the result writes to any address.
"""
from __future__ import annotations

import argparse
import math
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import torch

_DTYPE = re.compile('[biuf][0-9]{1,2}')
_CORES = ('core', '_core')  # NumPy 2 moved its functions; a file has the path of the NumPy that wrote it
# How torch.save began before its files were archives, and how many pickles it wrote: a magic number, a version, the
# machine, the content and the names of storages.
_LEGACY_TORCH, _LEGACY_PICKLES = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2), 5
_MAX_NESTING, _MAX_TUPLES = 1000, 100_000  # in one tuple


class ForbiddenGlobalError(pickle.UnpicklingError):
    """The pickle names something that is neither an array nor a plain Python value."""


class _Recorded:
    """Records a call that a pickle asks for, and the state given to its result; nothing is called."""
    __slots__ = ('args', 'state')

    def __new__(cls, *args: Any) -> _Recorded:
        self = super().__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> Any:
        """Make what was asked for.

        Raises:
            pickle.UnpicklingError: The arguments are not what NumPy or mmengine would have written.
        """
        raise pickle.UnpicklingError(f'{type(self).__name__.lower()} stands where a value should be')


class _Dtype(_Recorded):
    __slots__ = ()

    def value(self) -> np.dtype:
        name, order = self.args[0] if self.args else None, '='
        if self.state is not None:
            _, order, *layout = _require(self.state, tuple, 'state of a dtype')
            if any(part is not None for part in layout[:3]):
                raise pickle.UnpicklingError('an array has a structured dtype')
        if not isinstance(name, str):  # and may be too large to be shown
            raise pickle.UnpicklingError('an array has a dtype without a name')
        if not _DTYPE.fullmatch(name) or order not in ('<', '>', '|', '='):
            raise pickle.UnpicklingError(f'an array has dtype {name[:40]!r} and not numbers')
        return np.dtype(name).newbyteorder(order)


class _Array(_Recorded):
    """``numpy.ndarray`` as the argument of ``_reconstruct``."""
    __slots__ = ()


class _Reconstruct(_Recorded):
    __slots__ = ()

    def value(self) -> np.ndarray:
        state = _require(self.state, tuple, 'state of an array')
        if len(self.args) != 3 or self.args[0] not in (_Array, np.ndarray) or len(state) not in (4, 5):
            raise pickle.UnpicklingError('an array is not as NumPy writes it')
        shape, dtype, is_fortran, data = state[-4:]  # before them a version
        return _array(_value(data), dtype, shape, 'F' if is_fortran else 'C')


class _FromBuffer(_Recorded):
    __slots__ = ()

    def value(self) -> np.ndarray:
        if len(self.args) != 4:
            raise pickle.UnpicklingError('an array is not as NumPy writes it')
        data, dtype, shape, order = self.args
        return _array(data, dtype, shape, 'F' if order == 'F' else 'C')


class _Scalar(_Recorded):
    __slots__ = ()

    def value(self) -> np.generic:
        if len(self.args) != 2:
            raise pickle.UnpicklingError('a number is not as NumPy writes it')
        return _array(_value(self.args[1]), self.args[0], (1, ), 'C')[0]


class _Encode(_Recorded):
    """How protocols before 3 write bytes."""
    __slots__ = ()

    def value(self) -> bytes:
        text, encoding = self.args if len(self.args) == 2 else (None, None)
        if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
            raise pickle.UnpicklingError('bytes are not as pickle writes them')
        return text.encode('latin-1')


class _Bytes(_Recorded):
    """How protocol 2 writes no bytes at all."""
    __slots__ = ()

    def value(self) -> bytes:
        if self.args:
            raise pickle.UnpicklingError('bytes are not as pickle writes them')
        return b''


class _Method(_Recorded):
    """``getattr(HistoryBuffer, 'mean')``, which mmengine's histories refer to and bring themselves."""
    __slots__ = ()


class _History(_Recorded):
    __slots__ = ()

    def value(self) -> Any:
        from mmengine.logging import HistoryBuffer

        state = _require(self.state, dict, 'state of a HistoryBuffer')
        values, counts = (_value(state.get(f'_{name}_history')) for name in ('log', 'count'))
        length = state.get('max_length')
        if not (isinstance(values, np.ndarray) and isinstance(counts, np.ndarray) and values.ndim == counts.ndim == 1
                and len(values) == len(counts) and isinstance(length, int) and length > 0):
            raise pickle.UnpicklingError('a history of logged values is not as mmengine writes it')
        return HistoryBuffer(values, counts, length)


_NUMPY: dict[str, type[_Recorded]] = {
    'numpy.ndarray': _Array, 'numpy.dtype': _Dtype, 'builtins.bytes': _Bytes, '__builtin__.bytes': _Bytes}
for _core in _CORES:
    _NUMPY[f'numpy.{_core}.multiarray._reconstruct'] = _Reconstruct
    _NUMPY[f'numpy.{_core}.multiarray.scalar'] = _Scalar
    _NUMPY[f'numpy.{_core}.numeric._frombuffer'] = _FromBuffer
_MMENGINE: dict[str, type[_Recorded]] = {
    'mmengine.logging.history_buffer.HistoryBuffer': _History, 'builtins.getattr': _Method}
_ARGPARSE = {'argparse.Namespace': argparse.Namespace}  # the arguments in checkpoints of timm and DeiT
_PLAIN: dict[str, type] = {'_codecs.encode': _Encode, 'collections.OrderedDict': dict}


def is_plain_pickle(start: bytes) -> bool:
    """Tell whether a file that begins so is a pickle that ``torch.save`` has not written."""
    return start.startswith(b'\x80') and not start.startswith(_LEGACY_TORCH)


def load_arrays(path: Path) -> Any:
    """Read a plain pickle of arrays by name, as detectron2's model zoo has them, with tensors for arrays.

    Raises:
        ForbiddenGlobalError: The pickle holds more than arrays and plain Python values.
        Exception: The pickle is damaged; this is whatever ``pickle`` raises.
    """
    with path.open('rb') as file:
        return load_plain(file, _to_tensor)


def load_plain(file: BinaryIO, finish: Callable[[Any], Any] = lambda value: value) -> Any:
    """Read a plain pickle from the beginning of a file.

    Args:
        file: The file, open for reading bytes.
        finish: A function that gets each array and number of NumPy and returns what takes its place.

    Raises:
        ForbiddenGlobalError: The pickle holds more than arrays and plain Python values.
        Exception: The pickle is damaged; this is whatever ``pickle`` raises.
    """
    _check_steps(file)
    file.seek(0)
    return _settled(_ArrayUnpickler(file).load(), finish)


def load_torch(path: str | os.PathLike, mmap: bool = False) -> Any:
    """Read a file by ``torch.load(weights_only=True)``, with what mmengine, timm and argparse add to the tensors.

    Those are NumPy's arrays and numbers, ``HistoryBuffer`` and ``Namespace``. They are allowed while this file is read
    and not after it: whoever calls ``torch.load`` himself decides for himself.

    Args:
        path: The file, whatever its suffix.
        mmap: Whether tensors stay on the disk until they are read.

    Raises:
        pickle.UnpicklingError: The file holds more than that.
        Exception: The file is damaged; this is whatever ``torch.load`` raises.
    """
    allowed = [(record, name) for name, record in (_NUMPY | _MMENGINE | _ARGPARSE).items()]
    with open(path, 'rb') as file, torch.serialization.safe_globals(allowed):
        _check_archive(file)
        # An open file, because of a path torch.load would believe its suffix.
        content = torch.load(str(path) if mmap else file, map_location='cpu', weights_only=True, mmap=mmap)
    return _settled(content)


class _ArrayUnpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        try:
            return (_NUMPY | _PLAIN)[f'{module}.{name}']
        except KeyError:
            raise ForbiddenGlobalError(f'GLOBAL {module}.{name}') from None


def _check_archive(file: BinaryIO) -> None:
    """Refuse what would fill the memory before ``torch.load`` looks at it.

    torch.save does not compress: an archive that claims more than it has would fill the memory. PyTorch tells archives
    by their first bytes, finds names in any case, and takes another table of contents than Python where bytes were
    added.
    """
    if file.read(4) == b'PK\x03\x04':
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                claimed, size = sum(entry.file_size for entry in entries), file.seek(0, os.SEEK_END)
                if claimed > size:
                    raise pickle.UnpicklingError(f'the archive claims {claimed:,} bytes and has {size:,}')
                if archive.comment or min((entry.header_offset for entry in entries), default=0):
                    raise pickle.UnpicklingError('the archive has bytes before or after it')
                for entry in entries:
                    if entry.filename.lower().endswith('data.pkl'):
                        entry.CRC = None  # of archives without checksums; files.damaged_part compares those of others
                        _check_steps(archive.open(entry))
        except zipfile.BadZipFile as error:
            raise pickle.UnpicklingError(f'the archive is damaged: {error}') from error
    else:
        file.seek(0)
        for _ in range(_LEGACY_PICKLES):
            _check_steps(file)
    file.seek(0)


def _check_steps(file: IO[bytes]) -> None:
    """Refuse a pickle, to which the file is set, that would fill the memory or end the process.

    Python's unpickler allocates as much as the highest number under which a value is noted. A tuple that becomes the
    key of a dict is walked through: nested deeply it overflows the stack of the process, and one that holds another
    twice, which holds another twice, takes for ever.
    """
    stack: list[tuple[int, int]] = []  # of what lies on the unpickler's stack: how deep tuples are in it, and how many
    marks, memo = [], {}
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name, before = opcode.name, opcode.stack_before
        if name == 'MARK':
            marks.append(len(stack))
            continue
        if name == 'POP' and marks and marks[-1] == len(stack):  # takes the mark
            marks.pop()
            continue
        if name.endswith('PUT') and argument > step:
            raise pickle.UnpicklingError(f'step {step} of a pickle notes value {argument}')
        if name.endswith('PUT') or name == 'MEMOIZE':
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        start = len(stack) - len(before)
        if pickletools.markobject in before:
            start = marks.pop() - before.index(pickletools.markobject)
        if start < (marks[-1] if marks else 0):
            raise pickle.UnpicklingError(f'step {step} of a pickle takes what is not there')
        taken = stack[start:]
        del stack[start:]
        depth = tuples = 0
        if name.startswith('TUPLE') or name == 'FROZENSET':
            depth = 1 + max((depth for depth, _ in taken), default=0)
            tuples = 1 + sum(tuples for _, tuples in taken)
        elif name.endswith('GET'):
            depth, tuples = memo[argument]
        elif name == 'DUP':
            depth, tuples = taken[0]
        if depth > _MAX_NESTING or tuples > _MAX_TUPLES:
            raise pickle.UnpicklingError('a tuple holds too many tuples, or too deep ones')
        stack += [(depth, tuples)] * len(opcode.stack_after)


def _settled(content: Any, finish: Callable[[Any], Any] = lambda value: value) -> Any:
    """Put values in the place of what was recorded, in the same containers.

    A container that holds itself stays one.
    """
    known: dict[int, tuple[Any, Any]] = {}  # with what the ids are of, so that no other part gets one of them

    def settle(part: Any) -> Any:
        if isinstance(part, _Recorded):
            return finish(part.value())
        if isinstance(part, type) and issubclass(part, _Recorded):
            raise pickle.UnpicklingError('a pickle holds a function or class as a value')
        if not isinstance(part, dict | list | tuple | set | frozenset | argparse.Namespace):
            return part
        if id(part) in known:
            return known[id(part)][1]
        known[id(part)] = part, part
        if isinstance(part, tuple | frozenset):
            known[id(part)] = part, (tuple if isinstance(part, tuple) else frozenset)(map(settle, part))
        elif isinstance(part, list | set):
            items = list(map(settle, part))
            part.clear()
            (part.extend if isinstance(part, list) else part.update)(items)
        else:
            inside = vars(part) if isinstance(part, argparse.Namespace) else part
            pairs = [(settle(key), settle(value)) for key, value in inside.items()]
            inside.clear()
            for key, value in pairs:
                inside[key] = value
        return known[id(part)][1]

    return settle(content)


def _to_tensor(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder('=')))


def _array(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """Make a new array of what a pickle gave, if that is exactly as many bytes as it should be."""
    dtype = _require(dtype, _Dtype, 'dtype of an array').value()
    shape = _require(shape, tuple, 'shape of an array')
    if not isinstance(data, bytes | bytearray) or not all(type(side) is int and side >= 0 for side in shape):
        raise pickle.UnpicklingError('an array is not as NumPy writes it')
    if math.prod(shape) * dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f'an array of {len(data)} bytes claims the shape {str(shape)[:40]} of {dtype}')
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy()


def _value(part: Any) -> Any:
    return part.value() if isinstance(part, _Recorded) else part


def _require(part: Any, kind: type, what: str) -> Any:
    if not isinstance(part, kind):
        raise pickle.UnpicklingError(f'the {what} is a {type(part).__name__}')
    return part
