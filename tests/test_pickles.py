"""What checkpoints hold beside tensors: read as mmengine and NumPy wrote it, and nothing else."""
from __future__ import annotations

import codecs
import pickle
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from densevit.pickles import load_arrays, load_torch

ARRAYS = {
    'float': np.arange(6., dtype=np.float32).reshape(2, 3), 'columns': np.asfortranarray(np.arange(6).reshape(2, 3)),
    'big-endian': np.arange(3, dtype='>i4'), 'bool': np.array([True, False]), 'half': np.ones((1, 2), np.float16),
    'empty': np.zeros((0, 4)), 'number': np.array(2.), 'view': np.arange(10)[::3], 'byte': np.array([255], np.uint8)
}


def test_arrays_of_a_plain_pickle_are_tensors(tmp_path):
    for protocol in range(2, 6):
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(model=ARRAYS, author='x', again=[ARRAYS['view']]), protocol))
        content = load_arrays(tmp_path / 'a.pkl')
        assert content['author'] == 'x' and content['again'][0].tolist() == [0, 3, 6, 9]
        for name, array in ARRAYS.items():
            tensor = content['model'][name]
            assert torch.equal(tensor, torch.from_numpy(array.astype(array.dtype.newbyteorder('=')))), protocol


@pytest.mark.parametrize('mmap', [False, True])
def test_what_mmengine_and_argparse_write(tmp_path, mmap):
    history = HistoryBuffer([1.0, 0.5], [1, 1])
    shared = [np.float64(2.5)]
    torch.save({
        'message_hub': {'loss': history}, 'mean': np.float32(.5), 'args': Namespace(lr=.1, size=np.int64(3)),
        'arrays': ARRAYS, 'nested': (1, [shared, shared]), 'w': torch.ones(3)}, tmp_path / 'last.pth')
    content = load_torch(tmp_path / 'last.pth', mmap=mmap)
    loss = content['message_hub']['loss']
    assert type(loss) is HistoryBuffer and loss.mean() == .75 and loss.statistics('current') == .5
    loss.update(2.)
    assert content['mean'] == .5 and type(content['mean']) is np.float32
    assert content['args'] == Namespace(lr=.1, size=3)
    assert content['nested'] == (1, [[2.5], [2.5]]) and content['nested'][1][0] is content['nested'][1][1]
    assert all(np.array_equal(content['arrays'][name], array) for name, array in ARRAYS.items())
    assert torch.equal(content['w'], torch.ones(3))


def test_state_dicts_keep_their_versions(tmp_path):
    state = torch.nn.BatchNorm2d(2).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'w.pth')
    assert load_torch(tmp_path / 'w.pth')['state_dict']._metadata == state._metadata


def test_nothing_stays_allowed_for_others(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save({'a': np.ones(3), 'args': Namespace()}, tmp_path / 'w.pth')
    load_torch(tmp_path / 'w.pth')
    # PyTorch may import a part of its own meanwhile, which allows something of that part.
    added = [entry for entry in torch.serialization.get_safe_globals() if entry not in before]
    assert all(getattr(entry, '__module__', '').startswith('torch.') for entry in added)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'w.pth', weights_only=True)


class Call:
    """Pickles as a call, with a state and items for its result if there are any."""

    def __init__(self, function: object, *args: object, state: object = None, items: dict | None = None) -> None:
        self.reduced = function, args, state, None, iter(items.items()) if items else None

    def __reduce__(self) -> tuple:
        return self.reduced


_reconstruct = np.empty(0).__reduce__()[0]
_frombuffer = np.empty(0).__reduce_ex__(5)[0]
_scalar = np.float64(0).__reduce__()[0]
F8, O8 = np.dtype('f8'), np.dtype('O')


def _array(shape: object, dtype: object, data: object) -> Call:
    return Call(_reconstruct, np.ndarray, (0, ), b'b', state=(1, shape, dtype, False, data))


ATTACKS = {
    'an offset before the buffer': lambda: Call(np.ndarray, (1, ), '<i8', np.zeros(8), -2**20, items={0: 1}),
    'strides beyond it': lambda: Call(np.ndarray, (2, ), '<i8', np.zeros(8), 0, (2**20, ), items={1: 1}),
    'objects from numbers': lambda: _array((1, ), O8, b'12345678'),
    'objects': lambda: _array((1, ), O8, [1]),
    'a structure': lambda: _array((1, ), np.dtype([('a', 'f8')]), b'12345678'),
    'a dtype as text': lambda: _array((1, ), 'f8', b'12345678'),
    'a dtype of fields': lambda: _array((1, ), Call(
        np.dtype, 'f8', False, True, state=(3, '<', None, ('a', ), {'a': (F8, 2**40)}, 8, 8, 0)), b'12345678'),
    'strings': lambda: _array((1, ), np.dtype('U2'), b'12345678'),
    'times': lambda: _array((1, ), np.dtype('M8[s]'), b'12345678'),
    'a shape beyond the data': lambda: _array((2**40, ), F8, b'12345678'),
    'a negative shape': lambda: _array((-1, ), F8, b'12345678'),
    'two negative sides': lambda: _array((-1, -1), F8, b'12345678'),
    'a shape of fractions': lambda: _array((1., ), F8, b'12345678'),
    'too little data': lambda: _array((2, ), F8, b'12345678'),
    'data that are no bytes': lambda: _array((1, ), F8, [1]),
    'an array without a state': lambda: Call(_reconstruct, np.ndarray, (2**20, ), b'b'),
    'another class': lambda: Call(_reconstruct, np.dtype, (0, ), b'b', state=(1, (1, ), F8, False, b'12345678')),
    'an element assigned': lambda: Call(_reconstruct, np.ndarray, (1, ), b'b', items={0: 1}),
    'a buffer': lambda: Call(_frombuffer, b'1', F8, (2**40, ), 'C'),
    'a number of objects': lambda: Call(_scalar, O8, b'12345678'),
    'a number of other bytes': lambda: Call(_scalar, F8, b'1'),
    'a function itself': lambda: _reconstruct,
    # What PyTorch itself allows, and what is allowed in its files beside arrays.
    'an encoding': lambda: Call(codecs.encode, 'x', 'rot13'),
    'an attribute': lambda: Call(getattr, HistoryBuffer, 'register_statistics'),
    'a method of a method': lambda: Call(getattr, HistoryBuffer, 'mean.__globals__'),
    'a history of objects': lambda: Call(HistoryBuffer, [object, 1], [1, 1]),
    'a history with a state of its own': lambda: Call(HistoryBuffer, state=dict(_log_history=1, _count_history=1)),
}


@pytest.mark.parametrize('name', ATTACKS)
def test_anything_else_is_refused(tmp_path, name):
    """In a plain pickle, old and new, and in a file of PyTorch, which makes no more than text of an encoding."""
    for protocol in (2, 5):
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps({'w': ATTACKS[name]()}, protocol))
        with pytest.raises((pickle.UnpicklingError, TypeError, AttributeError)):
            load_arrays(tmp_path / 'a.pkl')
    if name != 'an encoding':
        torch.save({'w': ATTACKS[name]()}, tmp_path / 'a.pth')
        with pytest.raises((pickle.UnpicklingError, TypeError, AttributeError)):
            load_torch(tmp_path / 'a.pth')
