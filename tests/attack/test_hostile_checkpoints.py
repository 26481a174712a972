"""Hostile and damaged checkpoints, made here: nothing in them runs, and each is refused in one line.

Those that write to memory, fill it or overflow the stack would end the process; they are read in one of their own.
"""
from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from interpreters import run_program
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import CheckpointLoader
from PIL import Image
from safetensors.torch import save_file

import densevit
from densevit.engine.run_config import ConfigError, load_config
from densevit.inference.cli import main as infer
from densevit.inference.metadata import dataset_meta
from densevit.models.pretraining import without_pretraining
from densevit.pickles import load_plain, load_torch
from densevit.weights import WeightsError, load_weights, read_state_dict, safe_reading
from densevit.weights.reading import read_weights

STATE = {'weight': torch.arange(6.).reshape(2, 3), 'bias': torch.ones(2)}


class Call:
    """Pickles as a call; ``state`` and ``items`` are given to its result."""

    def __init__(self, function: object, *args: object, state: object = None, items: dict | None = None) -> None:
        self.reduced = function, args, state, None, iter(items.items()) if items else None

    def __reduce__(self) -> tuple:
        return self.reduced


def payload() -> Call:
    """What leaves ``ran`` in the current folder if it is called."""
    return Call(os.mkdir, 'ran')


def torch_bytes(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def archive(pickled: bytes, compression: int = zipfile.ZIP_STORED, **others: bytes) -> bytes:
    """What torch.load takes for a checkpoint with this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', compression) as file:
        for name, data in dict(pickled=pickled, **others).items():
            file.writestr('a/data.pkl' if name == 'pickled' else f'a/data/{name}', data)
        file.writestr('a/version', b'3\n')
        file.writestr('a/byteorder', b'little')
    return buffer.getvalue()


def holds_itself() -> bytes:
    content = {'state_dict': {}}
    content['state_dict']['state_dict'] = content['state_dict']
    return torch_bytes(content)


def in_a_circle() -> bytes:
    content = {'model': {'module': {}}}
    content['model']['module']['model'] = content['model']
    return torch_bytes(content)


def flipped(position: float) -> bytes:
    content = bytearray(torch_bytes(STATE))
    content[int(position * len(content))] ^= 0xff
    return bytes(content)


def safetensors(header: bytes, data: bytes = b'') -> bytes:
    return struct.pack('<Q', len(header)) + header + data


def twice_in_a_list(times: int) -> list:
    return [] if times == 0 else [twice_in_a_list(times - 1)] * 2


DEEP_KEY = b'\x80\x02})' + b'\x85' * 200_000 + b'Ns.'
_reconstruct, _frombuffer = np.empty(0).__reduce__()[0], np.empty(0).__reduce_ex__(5)[0]
F8, STRUCTURE = np.dtype('f8'), np.dtype([('a', 'O')])


def array(shape: object, dtype: object, data: object, **options: object) -> Call:
    return Call(_reconstruct, np.ndarray, (0, ), b'b', state=(1, shape, dtype, False, data), **options)


# Name of a file to its content.
FILES: dict[str, Callable[[], bytes]] = {
    'payload.pkl': lambda: pickle.dumps({**STATE, 'x': payload()}, 2),
    'payload protocol 0.pkl': lambda: b'\x80\x02' + pickle.dumps(payload(), 0),
    'payload protocol 5.pkl': lambda: pickle.dumps({'x': payload()}, 5),
    'payload by INST.pkl': lambda: b"\x80\x02(S'ran'\nios\nmkdir\n.",
    'payload by OBJ.pkl': lambda: b'\x80\x02(cos\nmkdir\nX\x03\x00\x00\x00rano.',
    'payload by STACK_GLOBAL.pkl': lambda: b'\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c\x03ran\x85R.',
    'extension.pkl': lambda: b'\x80\x02\x82\x01.',
    'persistent id.pkl': lambda: b'\x80\x02Pran\n.',
    'eval.pkl': lambda: pickle.dumps({'x': Call(eval, "__import__('os').mkdir('ran')")}),
    'an attribute of a class.pkl': lambda: pickle.dumps({'x': Call(getattr, dict, 'fromkeys')}),
    'array from an object.pkl': lambda: pickle.dumps({'weight': array((1, ), np.dtype('O'), [payload()])}),
    'payload.pth': lambda: torch_bytes({**STATE, 'x': payload()}),
    'payload in meta.pth': lambda: torch_bytes({'state_dict': STATE, 'meta': {'x': payload()}}),
    'payload legacy.pth': lambda: torch_bytes({'x': payload()}, _use_new_zipfile_serialization=False),
    'payload renamed.safetensors': lambda: torch_bytes({'x': payload()}),
    'module.pth': lambda: torch_bytes(torch.nn.Linear(3, 2)),
    'holds itself.pth': holds_itself,
    'in a circle.pth': in_a_circle,
    'list in lists.pth': lambda: archive(b'\x80\x02' + b']' * 10**4 + b'a' * (10**4 - 1) + b'.'),
    'a number.pth': lambda: torch_bytes(3),
    'a list.pth': lambda: torch_bytes([STATE]),
    'names that are numbers.pth': lambda: torch_bytes({1: torch.ones(2), (2, ): torch.ones(2)}),
    'other shapes.pth': lambda: torch_bytes({'weight': torch.ones(2), 'bias': torch.ones(2, 3)}),
    'sparse.pth': lambda: torch_bytes({**STATE, 'bias': torch.ones(2).to_sparse()}),
    'meta.pth': lambda: torch_bytes({**STATE, 'bias': torch.ones(2, device='meta')}),
    'complex.pth': lambda: torch_bytes({**STATE, 'bias': torch.ones(2, dtype=torch.complex64)}),
    'huge by strides.pth': lambda: torch_bytes({**STATE, 'bias': torch.ones(1).expand(2**40)}),
    'strings.pth': lambda: torch_bytes({'weight': 'a', 'bias': 'b'}),
    'flipped in the pickle.pth': lambda: flipped(.12),
    'flipped at the end.pth': lambda: flipped(.99),
    'cut in half.pth': lambda: torch_bytes(STATE)[:700],
    'without storages.pth': lambda: archive(torch_pickle()),
    'no pickle.pth': lambda: archive(b''),
    'another zip.pth': lambda: archive(b'text'),
    'nothing.pth': lambda: b'',
    'text.pth': lambda: b'<html>not found</html>',
    'two bytes.pth': lambda: b'\x80\x02',
    'long header.safetensors': lambda: struct.pack('<Q', 2**60) + b'{}',
    'deep header.safetensors': lambda: safetensors(b'{"a":' * 10**4),
    'offsets beyond.safetensors': lambda: safetensors(
        b'{"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,240]}}', bytes(24)),
    'offsets backwards.safetensors': lambda: safetensors(
        b'{"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[24,0]}}', bytes(24)),
    'another type.safetensors': lambda: safetensors(
        b'{"weight":{"dtype":"PY","shape":[2,3],"data_offsets":[0,24]}}', bytes(24)),
    'jax.npz': lambda: b'PK\x03\x04',
}
INDEXES: dict[str, object] = {
    'above': {'weight': '../outside.safetensors'}, 'absolute': {'weight': '/etc/passwd'},
    'windows': {'weight': 'C:\\weights.safetensors'}, 'share': {'weight': '\\\\host\\share\\x.safetensors'},
    'through a folder': {'weight': 'a/../../outside.safetensors'}, 'a number': {'weight': 3},
    'a list': {'weight': ['inside.safetensors']}, 'nothing': {'weight': None}, 'an empty name': {'weight': ''},
    'itself': {'weight': 'model.safetensors.index.json'}, 'a folder': {'weight': '.'}, 'no files': {},
    'no map': 'inside.safetensors', 'a map of lists': [['weight', 'inside.safetensors']],
    'a long name': {'weight': 'x' * 5000}, 'a null': {'weight': 'a\0b'}, 'a URL': {'weight': 'https://localhost:9/a.pth'},
}
# Each ends the process that reads it carelessly.
DEADLY: dict[str, Callable[[], bytes]] = {
    'writes before an array.pkl': lambda: pickle.dumps(
        {'x': Call(np.ndarray, (1, ), '<i8', np.zeros(8), -2**44, items={0: 1})}),
    'reads before an array.pkl': lambda: pickle.dumps({'weight': Call(np.ndarray, (2, ), '<i8', np.zeros(8), -2**44)}),
    'strides.pkl': lambda: pickle.dumps(
        {'x': Call(np.ndarray, (2, ), '<i8', np.zeros(8), 0, (2**44, ), items={1: 1})}),
    'objects from bytes.pkl': lambda: pickle.dumps({'x': Call(_frombuffer, b'12345678', np.dtype('O'), (1, ), 'C')}),
    'objects from a structure.pkl': lambda: pickle.dumps({'x': array((1, ), STRUCTURE, b'12345678', items={0: 'a'})}),
    'a field beyond.pkl': lambda: pickle.dumps({'x': array((1, ), Call(np.dtype, 'V8', False, True, state=(
        3, '|', None, ('a', ), {'a': (F8, 2**40)}, 8, 1, 0)), b'12345678', items={0: (1., )})}),
    'writes before an array.pth': lambda: torch_bytes(
        {'x': Call(np.ndarray, (1, ), '<i8', np.zeros(8), -2**44, items={0: 1})}),
    'reads before an array.pth': lambda: torch_bytes(
        {'weight': Call(np.ndarray, (2, ), '<i8', np.zeros(8), -2**44)}),
    'a memo of 16 GB.pkl': lambda: b'\x80\x02}r' + struct.pack('<I', 2**30) + b'.',
    'tuples in a key.pkl': lambda: DEEP_KEY,
    'tuples in a key.pth': lambda: archive(DEEP_KEY),
    'tuples in a key after a mark that POP took.pkl': lambda: b'\x80\x02}N\x85' + b'(0\x85' * 200_000 + b'Ns.',
    'tuples in a key under a name in capitals.pth': lambda: archive(DEEP_KEY).replace(b'data.pkl', b'DATA.PKL'),
    'tuples in a key before an archive.pth': lambda: b''.join((
        torch_bytes({}, _use_new_zipfile_serialization=False).removesuffix(pickle.dumps({}, 2) + pickle.dumps([], 2)),
        DEEP_KEY, pickle.dumps([], 2), archive(b''))),
    'a tuple twice in a tuple, and so on.pkl': lambda: b'\x80\x02})' + b'2\x86' * 60 + b'Ns.',
    'a dtype of a list twice in a list, and so on.pkl': lambda: pickle.dumps(
        {'weight': array((1, ), Call(np.dtype, twice_in_a_list(60)), b'1')}),
    'zeros that were compressed.pth': lambda: archive(torch_pickle(), zipfile.ZIP_DEFLATED, **{'0': bytes(3 * 10**7)}),
}


def torch_pickle() -> bytes:
    with zipfile.ZipFile(io.BytesIO(torch_bytes(STATE))) as file:
        return file.read(next(name for name in file.namelist() if name.endswith('data.pkl')))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_refused(source: Path) -> None:
    model = torch.nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(model, source)
    assert not Path('ran').exists()
    first, *rest = str(error.value).split('\n')
    assert source.name in first
    assert all(re.match('  ', line) for line in rest)  # what does not fit, one line a kind of it
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('kind', ['pkl', 'pth', 'safetensors', 'npz'])
def test_files(here, kind):
    for name in (name for name in FILES if name.endswith(f'.{kind}')):
        (here / name).write_bytes(FILES[name]())
        assert_refused(here / name)


def test_indexes_of_other_files(here):
    save_file(STATE, here / 'outside.safetensors')
    (here / 'model' / 'a').mkdir(parents=True)
    save_file(STATE, here / 'model' / 'inside.safetensors')
    index = here / 'model' / 'model.safetensors.index.json'
    for name in INDEXES:
        index.write_text(json.dumps(dict(weight_map=INDEXES[name])))
        with pytest.raises(WeightsError) as error:
            load_weights(torch.nn.Linear(3, 2), index)
        assert '\n' not in str(error.value)


def test_indexes_that_are_none(here):
    index = here / 'model.safetensors.index.json'
    for text in (b'[' * 10**5, b'{"weight_map":' * 10**4, b'\xff\xfe', b'9' * 5000, b'[]', b''):
        index.write_bytes(text)
        assert_refused(index)


def test_an_archive_without_checksums_is_read(here):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, here / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_state_dict(here / 'a.pth')['weight'], STATE['weight'])


def test_positions_that_would_fill_the_memory_when_resized(here):
    torch.save({'pos_embed': torch.ones(1, 1, 1).expand(1, 2**40 + 1, 32)}, 'a.pth')
    with pytest.raises(WeightsError, match='repeated'):
        read_state_dict(here / 'a.pth')
    torch.save({'pos_embed': torch.ones(1, 1, 1).expand(1, 17, 32)}, 'b.pth')
    assert read_state_dict(here / 'b.pth')['pos_embed'].shape == (1, 17, 32)


def test_classes_without_names_are_not_taken(here):
    torch.save({'state_dict': STATE, 'meta': {'dataset_meta': {'classes': [twice_in_a_list(2), 'b']}}}, 'a.pth')
    meta = read_weights(here / 'a.pth').meta
    assert dataset_meta(meta).classes is None  # 60 times instead of 2, it would fill the memory


def test_numbers_of_numpy_as_keys(here):
    content = {np.int64(3): 'a', (1, np.int32(2)): np.float32(4)}
    for protocol in (2, 4):
        assert load_plain(io.BytesIO(pickle.dumps(content, protocol))) == content


def test_files_that_end_the_process(here):
    for name, content in DEADLY.items():
        (here / name).write_bytes(content())
    code = '''
import resource, sys, torch
resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
from densevit.weights import WeightsError, load_weights
for name in sys.argv[1:]:
    try:
        load_weights(torch.nn.Linear(3, 2), name)
    except WeightsError as error:
        print('damaged' if 'MemoryError' in str(error) else 'refused', name)
'''
    result = run_program(code, *DEADLY, path=sys.path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f'refused {name}' for name in DEADLY]


@pytest.fixture
def trap(here) -> Path:
    (here / 'trap.pth').write_bytes(torch_bytes({'state_dict': {**STATE, 'x': payload()}}))
    return here / 'trap.pth'


OURS = dict(
    type='densevit.MaskSegmentor', num_classes=3, head=dict(type='densevit.EoMT', num_queries=4, num_blocks=1),
    backbone=dict(type='densevit.PlainViT', img_size=32, patch_size=16, embed_dim=32, depth=1, num_heads=2))
STOCK = dict(
    type='mmseg.EncoderDecoder', backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=4),
    decode_head=dict(type='mmseg.FCNHead', in_channels=32, in_index=3, channels=4, num_classes=3, num_convs=1))


def pretrained(path: Path, kind: str = 'Pretrained', **options: object) -> dict:
    return dict(type=kind, checkpoint=str(path), **options)


def with_trap(model: dict, key: str, value: object) -> dict:
    """A copy of a model's config with a value under a dotted key."""
    cfg = Config(dict(model=model)).copy()
    cfg.merge_from_dict({f'model.{key}': value})
    return cfg.model


INITIAL: dict[str, Callable[[Path], dict]] = {
    'of our model': lambda trap: with_trap(OURS, 'init_cfg', pretrained(trap)),
    'in a list': lambda trap: with_trap(OURS, 'init_cfg', [pretrained(trap)]),
    'behind another': lambda trap: with_trap(
        OURS, 'init_cfg', [dict(type='Constant', layer='Conv2d', val=0), pretrained(trap)]),
    'with its scope': lambda trap: with_trap(OURS, 'init_cfg', pretrained(trap, 'mmengine.Pretrained')),
    'with its module': lambda trap: with_trap(
        OURS, 'init_cfg', pretrained(trap, 'mmengine.model.weight_init.PretrainedInit')),
    'with a prefix': lambda trap: with_trap(OURS, 'init_cfg', pretrained(trap, prefix='network')),
    'as an override': lambda trap: with_trap(OURS, 'init_cfg', dict(
        type='Constant', layer='Conv2d', val=0, override=dict(name='network', **pretrained(trap)))),
    'of our backbone': lambda trap: with_trap(OURS, 'backbone.init_cfg', pretrained(trap)),
    'of a stock model': lambda trap: with_trap(STOCK, 'init_cfg', pretrained(trap)),
    'of a stock backbone': lambda trap: with_trap(STOCK, 'backbone.init_cfg', pretrained(trap)),
    'of a stock head': lambda trap: with_trap(STOCK, 'decode_head.init_cfg', [pretrained(trap)]),
    'by the old name': lambda trap: with_trap(STOCK, 'pretrained', str(trap)),
    'of a backbone that reads by itself': lambda trap: with_trap(dict(STOCK, backbone=dict(
        type='mmseg.SwinTransformer', embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))),
        'backbone.init_cfg', pretrained(trap)),
}


def test_initial_weights(trap):
    for name, write in INITIAL.items():
        config = write(trap)
        with safe_reading():
            model = MODELS.build(config)
            with pytest.raises(WeightsError, match='trap.pth: .*could run any code and was not opened'):
                model.init_weights()
        assert not Path('ran').exists(), name
        MODELS.build(without_pretraining(config)).init_weights()  # of a model that a checkpoint will fill


def test_initial_weights_that_timm_reads(trap):
    config = with_trap(OURS, 'backbone', dict(
        type='densevit.PlainViT', name='vit_tiny_patch16_224', img_size=32, depth=1, checkpoint_path=str(trap)))
    with pytest.raises(ValueError, match='trap.pth.*could run any code and was not opened'):
        MODELS.build(config)
    assert not Path('ran').exists()
    MODELS.build(without_pretraining(config))


def test_mmengines_own_loading_is_as_it_was_afterwards(trap):
    torch.save(torch.nn.Linear(1, 1), 'mine.pth')
    with safe_reading(), safe_reading():
        pass
    assert isinstance(CheckpointLoader.load_checkpoint('mine.pth', 'cpu'), torch.nn.Linear)


@pytest.mark.parametrize('line', [
    "model['init_cfg'] = dict(type='Pretrained', checkpoint={!r})",
    "model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint={!r})",
])
def test_training_begins_with_a_trap(camvid_like, tiny_config, tool, trap, capsys, line):
    tiny_config.write_text(f'{tiny_config.read_text()}\n{line.format(str(trap))}\n')
    assert tool('train', tiny_config, '--work-dir', trap.parent / 'run') == 2
    assert 'trap.pth: a pickle that holds more than weights' in capsys.readouterr().err
    assert not Path('ran').exists()


def test_resuming_runs_no_config_of_the_checkpoint(camvid_like, tiny_config, tool, tmp_path):
    run = ['train', tiny_config, '--work-dir', tmp_path / 'run']
    assert tool(*run, '--cfg-options', 'train_cfg.max_iters=1') == 0
    content = load_torch(tmp_path / 'run' / 'iter_1.pth')
    content['meta']['config'] = "import os\nos.mkdir('ran')\n"  # which mmengine reads as a .py config
    torch.save(content, tmp_path / 'run' / 'iter_1.pth')
    assert tool(*run, '--resume', '--cfg-options', 'train_cfg.max_iters=2') == 0
    assert not Path('ran').exists()


def test_resuming_from_a_trap(camvid_like, tiny_config, tool, trap, capsys):
    (trap.parent / 'a folder.pth').mkdir()
    (trap.parent / 'a folder.pth' / 'rank0.pth').write_bytes(trap.read_bytes())
    torch.save(dict(state_dict=1, optimizer=2, meta=3, message_hub=4), trap.parent / 'parts.pth')
    torch.save(3, trap.parent / 'a number.pth')
    for name in ('trap.pth', 'a folder.pth', 'parts.pth', 'a number.pth'):
        assert tool('train', tiny_config, '--work-dir', trap.parent / 'run', '--resume', trap.parent / name) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and name in lines[0]
        assert not Path('ran').exists()


def test_data_of_a_config(here):
    for name, content in (('labels.pkl', pickle.dumps([payload()])), ('labels.pickle', pickle.dumps(payload(), 0)),
                          ('labels.yaml', b'a: !!python/object/apply:os.mkdir [ran]')):
        (here / name).write_bytes(content)
        with safe_reading(), pytest.raises(ValueError, match='the config names as data'):
            mmengine.load(name)
        assert not Path('ran').exists()
    with safe_reading():
        mmengine.dump(dict(boxes=np.ones((2, 4)), names=['a']), 'boxes.pkl')
        assert mmengine.load('boxes.pkl')['boxes'].shape == (2, 4)


DATA_CONFIGS = {
    'apply.yaml': 'model: !!python/object/apply:os.mkdir [ran]', 'new.yml': 'a: !!python/object/new:os.mkdir [ran]',
    'name.yaml': 'a: !!python/name:os.mkdir', 'module.yaml': 'a: !!python/module:os',
    'base.yaml': "_base_: apply.yaml", 'base.json': '{"_base_": "apply.yaml"}', 'list.yaml': '- 1', 'nothing.yaml': '',
    'deep.json': '[' * 10**5, 'deep.yaml': 'a: ' + '[' * 1000, 'itself.yaml': 'a: &a [*a]', 'cut.json': '{"a":',
}


def test_configs_of_data(here):
    for name in DATA_CONFIGS:
        (here / 'apply.yaml').write_text(DATA_CONFIGS['apply.yaml'])
        (here / name).write_text(DATA_CONFIGS[name])
        with pytest.raises(ValueError, match='is not a valid config') as error:
            densevit.load(here / name, allow_random=True)
        assert '\n' not in str(error.value) and name in str(error.value)
        with pytest.raises(ConfigError, match='is not a valid config'):
            load_config(str(here / name), {})
        assert not Path('ran').exists()


def test_config_that_becomes_code_by_a_variable(here):
    """mmengine puts in what stands behind the colon before it reads the YAML."""
    (here / 'a.yaml').write_text("a: ['{{$NO_SUCH:''}}, !!python/object/apply:os.mkdir [ran]] #']")
    with pytest.raises(ValueError, match='has no model'):
        densevit.load(here / 'a.yaml', allow_random=True)
    assert not Path('ran').exists()


def test_predicting_with_a_config_of_data(here, capsys):
    (here / 'apply.yaml').write_text(DATA_CONFIGS['apply.yaml'])
    Image.new('RGB', (8, 8)).save('picture.png')
    assert infer(['picture.png', '--config', 'apply.yaml', '--allow-random']) == 2
    assert 'apply.yaml is not a valid config' in capsys.readouterr().err
    assert not Path('ran').exists()
