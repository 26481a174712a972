"""The models in the package are what their cards say."""
from __future__ import annotations

import json
import re

import numpy as np
import pytest
from safetensors import safe_open

import densevit
from densevit.weights import zoo

BUNDLED = [name for name in zoo.names() if zoo.entry(name).repo_id is None]


@pytest.mark.parametrize('name', BUNDLED)
def test_size_and_card(name):
    card = densevit.model_card(name)
    weights = zoo.find_weights(zoo.entry(name))
    assert weights.stat().st_size == card['bytes'] <= 20e6 and card['parameters'] <= 10e6
    assert all(0 < value <= 1 for value in card['metrics'].values())
    assert all(card[key] for key in ('data', 'terms', 'command', 'curve'))
    with safe_open(weights, 'pt') as file:
        assert json.loads(file.metadata()['dataset_meta'])['classes']


@pytest.mark.parametrize('name', BUNDLED)
def test_predicts_a_photograph(name):
    predictor = densevit.load(name, device='cpu')
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    result = predictor.predict(image)
    assert result.semantic.shape == (90, 120) and result.classes == predictor.classes
    assert np.isfinite(result.scores).all() and (result.scores > 0).all()


def test_camvid_metric_is_the_stored_one(tool, tmp_path, shared_data, monkeypatch, capsys):
    if not (shared_data / 'camvid').is_dir():
        pytest.skip('CamVid: set DENSEVIT_TEST_DATA')
    monkeypatch.setenv('DENSEVIT_DATA', str(shared_data))
    entry = zoo.entry('eomt_tiny_camvid')
    assert tool('test', zoo.config_path(entry), zoo.find_weights(entry), '--work-dir', tmp_path) == 0
    measured = float(re.findall(r'mIoU: ([\d.]+)', capsys.readouterr().out)[-1])
    assert measured == pytest.approx(100 * densevit.model_card(entry.name)['metrics']['mIoU'], abs=.1)
