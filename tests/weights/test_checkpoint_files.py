"""Checkpoint files: their formats, and what is wrong with them in one line."""
from __future__ import annotations

import argparse
import json
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from densevit.pickles import load_torch
from densevit.weights import (
    WeightsError,
    WeightsNotFoundError,
    load_weights,
    read_checkpoint,
    read_state_dict,
    reading,
)

STATE = {'a.weight': torch.arange(6.).reshape(2, 3), 'a.bias': torch.ones(2)}


def assert_read(source):
    state = read_state_dict(source)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_formats_are_told_by_content(tmp_path):
    for name in ('w.pth', 'w.bin', 'w.safetensors'):
        torch.save(STATE, tmp_path / name)
        assert_read(tmp_path / name)
        save_file(STATE, tmp_path / name)
        assert_read(str(tmp_path / name))


def test_legacy_pytorch_format(tmp_path):
    torch.save(STATE, tmp_path / 'w.pth', _use_new_zipfile_serialization=False)
    assert_read(tmp_path / 'w.pth')


WRAPPED = (
    {'state_dict': STATE, 'epoch': 3},
    {'model': STATE, 'optimizer': {'lr': 1.}, 'args': argparse.Namespace(lr=.1)},
    {'model': {name: tensor + 1 for name, tensor in STATE.items()}, 'model_ema': STATE},
    {'state_dict': {name: tensor + 1 for name, tensor in STATE.items()}, 'state_dict_ema': STATE},
    {'module': STATE}, {'state_dict': STATE, 'ema_state_dict': {'steps': torch.zeros(())}},
    {'module.' + name: tensor for name, tensor in STATE.items()},
    {'_orig_mod.module.' + name: tensor for name, tensor in STATE.items()},
    {**STATE, 'epoch': 3, 'mean': np.float64(2)},
)


def test_wrappers(tmp_path):
    for content in WRAPPED:
        torch.save(content, tmp_path / 'w.pth')
        assert_read(tmp_path / 'w.pth')
        assert_read(content)


def test_mmengine_checkpoint(tmp_path):
    hub = MessageHub('test_mmengine_checkpoint')
    hub.update_scalar('train/loss', 1.5)
    hub.update_scalar('train/loss', 1.25)
    hub.update_info('best', np.float32(.5))
    meta = dict(iter=2, dataset_meta=dict(classes=('road', 'sky'), palette=[[1, 2, 3], [4, 5, 6]]))
    torch.save(dict(meta=meta, state_dict=STATE, message_hub=hub.state_dict()), tmp_path / 'iter_2.pth')
    assert_read(tmp_path / 'iter_2.pth')
    assert read_checkpoint(tmp_path / 'iter_2.pth')['meta'] == meta


def test_a_report_has_the_meta_of_a_file_that_is_read_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(reading, 'load_torch', lambda path: read.append(path) or load_torch(path))
    model = torch.nn.Module()
    model.a = torch.nn.Linear(3, 2)
    meta = dict(iter=2, dataset_meta=dict(classes=('road', 'sky')))
    torch.save(dict(meta=meta, state_dict=STATE), tmp_path / 'iter_2.pth')
    assert load_weights(model, tmp_path / 'iter_2.pth').meta == meta and len(read) == 1
    torch.save(dict(meta='text', state_dict=STATE), tmp_path / 'text.pth')
    assert load_weights(model, tmp_path / 'text.pth').meta == load_weights(model, STATE).meta == {}
    header = dict(format='pt', classes='["road"]', palette='[[', dataset_meta='{"classes": ["sky"]}')
    save_file(STATE, tmp_path / 'model.safetensors', metadata=header)
    for source in (tmp_path / 'model.safetensors', tmp_path):
        assert load_weights(model, source).meta == dict(classes=['road'], dataset_meta=dict(classes=['sky']))


def test_folder_and_shards(tmp_path):
    with pytest.raises(WeightsNotFoundError, match='should hold model.safetensors'):
        read_state_dict(tmp_path)
    shards = {name: f'model-{index}.safetensors' for index, name in enumerate(STATE)}
    for name, file in shards.items():
        save_file({name: STATE[name]}, tmp_path / file)
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=shards)))
    assert_read(tmp_path)
    (tmp_path / 'model-1.safetensors').unlink()
    with pytest.raises(WeightsNotFoundError, match='model-1.safetensors'):
        read_state_dict(tmp_path)
    (tmp_path / 'model.safetensors.index.json').write_text('[]')
    with pytest.raises(WeightsError, match='not an index'):
        read_state_dict(tmp_path)


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


@pytest.mark.parametrize('write', [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_that_runs_code_does_not_run(tmp_path, write):
    write({**STATE, 'code': RunsCode(tmp_path / 'ran')}, tmp_path / 'w.pth')
    with pytest.raises(WeightsError) as error:
        read_state_dict(tmp_path / 'w.pth')
    assert not (tmp_path / 'ran').exists()
    assert '\n' not in str(error.value) and 'save the weights alone' in str(error.value)


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='Linear'):
        read_state_dict(tmp_path / 'w.pth')


@pytest.mark.parametrize('save', [torch.save, save_file])
def test_truncated_files(tmp_path, save):
    path = tmp_path / 'w.pth'
    save({f'layer{index}.weight': torch.randn(64, 64) for index in range(4)}, path)
    content = path.read_bytes()
    for keep in (.02, .5, .97):
        path.write_bytes(content[:int(keep * len(content))])
        with pytest.raises(WeightsError, match='download or copy it again') as error:
            read_state_dict(path)
        assert '\n' not in str(error.value)


OTHERS = (
    (b'', 'empty'),
    (b'<!DOCTYPE html>\n<html>not found</html>', 'a text file'),
    (b'x', 'a text file'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1', 'git-lfs'),
    (b'\x89PNG\r\n\x1a\n\x00\x00\x00', 'not a checkpoint'),
    (b'\x80\x02', 'damaged'),
    (b'\x80not a pickle', 'damaged'),
)


def test_other_files(tmp_path):
    for path in (tmp_path / 'w.pth', tmp_path / 'w.safetensors'):
        for content, said in OTHERS:
            path.write_bytes(content)
            with pytest.raises(WeightsError, match=said) as error:
                read_state_dict(path)
            assert '\n' not in str(error.value) and str(path) in str(error.value)


def test_files_without_weights(tmp_path):
    for content in ([1, 2], torch.ones(2), {}, {'lr': .1}):
        torch.save(content, tmp_path / 'w.pth')
        with pytest.raises(WeightsError, match=r'torch\.save\(model\.state_dict'):
            read_state_dict(tmp_path / 'w.pth')


def test_jax_weights_say_what_to_use(tmp_path):
    np.savez(tmp_path / 'augreg.npz', kernel=np.zeros(3))
    with pytest.raises(WeightsError, match='timm gives the same'):
        read_state_dict(tmp_path / 'augreg.npz')


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='check the path'):
        read_state_dict(tmp_path / 'none.pth')
