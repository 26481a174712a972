"""`densevit.load`: names, configs, weights, classes, devices."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from densevit.errors import DoubtfulResultWarning
from densevit.inference import loading
from densevit.inference.loading import RandomWeightsError, UnknownModelError, build_model, load, pick_device
from densevit.inference.metadata import DatasetMeta, config_meta, dataset_meta
from densevit.registry import config_file, quiet_imports
from densevit.weights import WeightsError, zoo

CONFIG = '''
default_scope = 'mmseg'
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(type='CityscapesDataset', pipeline=test_pipeline))
model = dict(
    type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'), pretrained='https://nowhere/a.pth',
    backbone=dict(type='ResNetV1c', depth=18, base_channels=4, norm_cfg=dict(type='BN'),
                  init_cfg=dict(type='Pretrained', checkpoint='https://nowhere/b.pth')),
    decode_head=dict(type='FCNHead', in_channels=32, in_index=3, channels=4, num_classes=2, num_convs=1,
                     norm_cfg=dict(type='BN')),
    test_cfg=dict(mode='whole'))
'''


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture
def checkpoint(tmp_path, config):
    path = tmp_path / 'tiny.pth'
    meta = dict(dataset_meta=dict(classes=('road', 'rest'), palette=[[1, 2, 3], [4, 5, 6]]))
    torch.save(dict(state_dict=build_model(Config.fromfile(config)).state_dict(), meta=meta), path)
    return path


@pytest.fixture
def known_models(monkeypatch, tmp_path, config, checkpoint):
    """A zoo of two, with its configs and bundled weights in a folder of the test."""
    models = {name: zoo.ZooEntry(name, config.name, checkpoint.name, 'semantic', 'CC0')
              for name in ('tiny_road', 'other')}
    monkeypatch.setattr(zoo, '_entries', lambda: models)
    monkeypatch.setattr(zoo, 'BUNDLED', tmp_path)
    named = f'densevit::{config.name}'
    monkeypatch.setattr(loading, 'config_file', lambda name: config if name == named else config_file(name))


def test_load__half_precision_of_a_stock_model(config, checkpoint, picture):
    for dtype in ('bfloat16', torch.float16):
        predictor = load(config, checkpoint, device='cpu', dtype=dtype)
        expected = getattr(torch, str(dtype)[-8:], dtype)
        assert {parameter.dtype for parameter in predictor.model.parameters()} == {expected}
        assert predictor.predict(picture).semantic.shape == picture.shape[:2]
    with pytest.raises(ValueError, match='choose float32, bfloat16 or float16'):
        load(config, checkpoint, dtype='int8')


def test_load__half_precision_moves_borders_only(shared_data):
    photograph = min((shared_data / 'camvid' / 'test').iterdir())
    predictor = load('eomt_tiny_camvid', device='cpu')
    expected = predictor.predict(photograph).semantic
    predictor.model.half()
    for loaded in (predictor, load('eomt_tiny_camvid', device='cpu', dtype='bfloat16')):
        assert (loaded.predict(photograph).semantic == expected).mean() > .985


def test_load__config_and_weights(config, checkpoint, picture):
    predictor = load(config, checkpoint, device='cpu')
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert all(torch.equal(value, state[name]) for name, value in predictor.model.state_dict().items())
    result = predictor.predict(picture)
    assert result.classes == ('road', 'rest') and result.palette == ((1, 2, 3), (4, 5, 6))


def test_load__weights_that_are_no_numbers_are_refused(config, checkpoint):
    for name, value in (('decode_head.conv_seg.weight', float('nan')),
                        ('backbone.layer1.0.bn1.running_var', float('inf'))):
        content = torch.load(checkpoint, weights_only=True)
        content['state_dict'][name].view(-1)[1] = value
        torch.save(content, checkpoint.with_name('wrong.pth'))
        with pytest.raises(WeightsError, match=f'NaN or infinite weights .{name}.*earlier checkpoint'):
            load(config, checkpoint.with_name('wrong.pth'), device='cpu')


def test_load__given_classes_win(config, checkpoint):
    assert load(str(config), checkpoint, classes=['a', 'b'], palette=[(7, 7, 7)] * 2).classes == ('a', 'b')


def test_load__zoo_name(known_models):
    assert load('tiny_road').classes == ('road', 'rest')


def test_load__zoo_name_with_other_weights(known_models, tmp_path):
    with pytest.raises(FileNotFoundError, match='no such checkpoint'):
        load('tiny_road', tmp_path / 'none.pth')


def test_load__unknown(known_models):
    for name, message in (
            ('tiny_raod', "did you mean 'tiny_road'.*known are tiny_road, other"),
            ('xyz', 'known are tiny_road, other'),
            ('configs/none.py', 'no such config file'), ('none.py', 'no such config file')):
        with pytest.raises(UnknownModelError, match=message):
            load(name)


def test_load__random_weights_only_on_request(config):
    with pytest.raises(RandomWeightsError, match='--allow-random'):
        load(config)
    with pytest.warns(DoubtfulResultWarning, match='tiny.py: the weights are random, .*; give'):
        predictor = load(config, allow_random=True)
    assert len(predictor.classes) == 19  # from CityscapesDataset
    note, = predictor.predict(np.zeros((32, 32, 3), np.uint8)).notes
    assert 'the weights are random' in note


def test_load__no_warning_with_weights(config, checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter('error', DoubtfulResultWarning)
        load(config, checkpoint, allow_random=True)


def test_load__config_named_as_in_base(tmp_path):
    with pytest.warns(DoubtfulResultWarning, match='densevit::tiny'):
        assert load('densevit::tiny/eomt_tiny_camvid.py', allow_random=True).classes[0] == 'sky'
    with pytest.raises(UnknownModelError, match='did you mean densevit::tiny/eomt_tiny_camvid.py?'):
        load('densevit::tiny/eomt_tiny_camvit', allow_random=True)


def test_load__known_model_whose_weights_are_missing(known_models, checkpoint):
    checkpoint.unlink()
    with pytest.raises(RandomWeightsError, match='tiny.pth is missing.*--allow-random') as caught:
        load('tiny_road')
    assert '--weights' not in str(caught.value)  # the error of the zoo has its own remedies
    with pytest.warns(DoubtfulResultWarning, match='^tiny_road: '):
        assert load('tiny_road', allow_random=True).model is not None


def test_load__config_without_model(tmp_path, checkpoint):
    (tmp_path / 'part.py').write_text('a = 1')
    with pytest.raises(ValueError, match='has no model'):
        load(tmp_path / 'part.py', checkpoint)


def test_load__asks_nobody_and_prints_nothing():
    """In an interpreter of its own, which has imported nothing yet."""
    code = '''
import socket
import numpy as np
def asked(*address, **options):
    print('asked', address)
    raise OSError('there is no network')
socket.getaddrinfo = socket.socket.connect = asked
import densevit
densevit.load_weights, densevit.PlainViT
densevit.load('eomt_tiny_camvid').predict(np.zeros((32, 48, 3), np.uint8))
print('done')
'''
    environment = {name: value for name, value in os.environ.items() if name != 'NO_ALBUMENTATIONS_UPDATE'}
    result = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == 'done\n'


def test_load__other_prints_are_shown(capsys):
    first, second = quiet_imports(), quiet_imports()  # of two threads, the first of which is done before the other
    first.__enter__()
    print('Could not import OneDL')
    second.__enter__()
    first.__exit__(None, None, None)
    print('mine')
    second.__exit__(None, None, None)
    print('afterwards')
    assert capsys.readouterr().out == 'mine\nafterwards\n'


def test_pick_device():
    assert pick_device('cpu') == torch.device('cpu')
    assert pick_device('auto').type in ('cpu', 'cuda')
    for device in ('quantum', 'cuda:77', 'meta:x'):
        with pytest.raises(ValueError, match='cannot be used here; choose auto, cpu'):
            pick_device(device)


def test_load__classes_in_the_header_of_safetensors(tmp_path, config, checkpoint):
    save_file(torch.load(checkpoint, weights_only=True)['state_dict'], tmp_path / 'a.safetensors',
              metadata=dict(dataset_meta=json.dumps(dict(classes=['x', 'y'], palette=[[1, 1, 1], [2, 2, 2]]))))
    predictor = load(config, tmp_path / 'a.safetensors', device='cpu')
    assert predictor.classes == ('x', 'y') and predictor.palette == [[1, 1, 1], [2, 2, 2]]


def test_dataset_meta__of_whatever_a_checkpoint_says():
    for meta, expected in (
            (dict(CLASSES=('a',), PALETTE='random'), DatasetMeta(['a'], None)),
            (dict(dataset_meta=None), DatasetMeta(None, None)), ({}, DatasetMeta(None, None)),
            (dict(dataset_meta=dict(classes=['a'], palette=[['red', 0, 0]])), DatasetMeta(['a'], None)),
            (dict(dataset_meta=dict(classes=['a'], palette=[[0, 0, 256]])), DatasetMeta(['a'], None))):
        assert dataset_meta(meta) == expected


def test_config_meta():
    dataset = dict(type='CityscapesDataset', metainfo=dict(classes=('x', 'y')))
    own = Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=dataset), model=dict()))
    assert config_meta(own) == DatasetMeta(['x', 'y'], None)  # Cityscapes' colours are for other classes
    none = Config(dict(model=dict(backbone=dict(), decode_head=[dict(num_classes=3)])))
    assert config_meta(none).classes == ['class 0', 'class 1', 'class 2']
    assert config_meta(Config(dict(model=dict()))) == DatasetMeta(None, None)
