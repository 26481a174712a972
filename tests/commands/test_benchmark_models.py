"""tools/benchmark.py models: what it counts, and what it prints and writes."""
import re

import pytest
import torch
from PIL import Image

from densevit.benchmarks import models
from densevit.commands.benchmark import PRESETS
from densevit.registry import config_file

CONFIG = """
model = dict(
    type='densevit.PixelSegmentor', num_classes=5, head=dict(type='densevit.LinearNet', norm=False),
    backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth={depth}, num_heads=2,
                  class_token=False))
"""
CPU = models.Setting((64, 96), torch.device('cpu'))


@pytest.fixture
def config(tmp_path):
    def write(depth=1):
        path = tmp_path / f'linear_{depth}.py'
        path.write_text(CONFIG.format(depth=depth))
        return path
    return write


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_macs__are_those_of_the_layers(config):
    tokens, dim = 4 * 6, 32
    block = tokens * (3 * dim * dim + 2 * tokens * dim + dim * dim + 8 * dim * dim)
    embedding, classifier = tokens * 3 * 16**2 * dim, tokens * dim * 5
    for depth in (1, 3):
        subject = models.Subject(config(depth), CPU)
        assert subject.count_macs(CPU.images(1)) == embedding + depth * block + classifier


def test_an_eomt_is_measured_without_masks(tiny_config):
    subject = models.Subject(tiny_config, CPU)
    assert len(subject.model.network(CPU.images(1))) == 1
    assert subject.trunk is subject.model.network.backbone


def test_an_adapters_trunk_is_its_vit(tmp_path):
    path = tmp_path / 'adapter.py'
    path.write_text("""
model = dict(
    type='densevit.PixelSegmentor', num_classes=5, head=dict(type='densevit.LinearNet'),
    backbone=dict(type='densevit.ViTAdapter', num_heads=2,
                  vit=dict(img_size=64, patch_size=16, embed_dim=32, depth=4, num_heads=2)))
""")
    subject = models.Subject(path, CPU)
    (row,) = models.measure([subject], CPU, 1)
    assert row.trunk_parameters == sum(p.numel() for p in subject.model.backbone.vit.parameters()) < row.parameters


def test_table_and_chart(tool, config, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(models, '_GEMM_SIZES', (32, 64))
    paths = config(1), config(3)
    assert tool('benchmark', 'models', *paths, '--size', '64x96', '--repeats', 2, '--batch', 2, '--threads', 1,
                '--out', tmp_path / 'table.md', '--chart', tmp_path / 'chart.png') == 0
    printed, table = capsys.readouterr().out, (tmp_path / 'table.md').read_text()
    for text in (printed, table):
        lines = [line for line in text.splitlines() if re.search(r'linear_\d', line)]
        assert ['linear_1' in line for line in lines] == [True, False] and all('network' in line for line in lines)
        assert '64x96' in text.replace('\n', ' ') and torch.__version__ in text
    assert lines[0].rstrip(' |').endswith('1.00')
    assert Image.open(tmp_path / 'chart.png').size[0] > 400


def test_presets_are_of_configs():
    assert all(config_file(name).is_file() for names in PRESETS.values() for name in names)


def test_stock_models_predict(tmp_path):
    path = tmp_path / 'stock.py'
    path.write_text("""
model = dict(
    type='EncoderDecoder', backbone=dict(type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=1,
                                         num_heads=2),
    decode_head=dict(type='FCNHead', in_channels=32, channels=8, num_convs=1, num_classes=5, in_index=0),
    test_cfg=dict(mode='whole'))
default_scope = 'mmseg'
""")
    (row,) = models.measure([models.Subject(path, CPU)], CPU, 1)
    assert row.measured == 'predict' and row.macs > 0


def test_what_is_wrong_is_said(tool, capsys):
    for arguments, message in (((), 'give configs, or --preset with one of eomt'),
                               (('nowhere.py', ), 'nowhere.py: no such config'),
                               (('nowhere.py', '--preset', 'eomt'), 'give configs, or --preset')):
        assert tool('benchmark', 'models', *arguments) == 2
        assert f'error: {message}' in capsys.readouterr().err
