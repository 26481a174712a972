"""The models in the package are what their cards say."""
from __future__ import annotations

import json
import re

import numpy as np
import pytest
from safetensors import safe_open

import densevit
from densevit.registry import config_file
from densevit.weights import zoo

BUNDLED = [name for name in zoo.names() if zoo.entry(name).is_bundled]


@pytest.mark.parametrize('name', BUNDLED)
def test_size_and_card(name):
    card = densevit.model_card(name)
    weights = zoo.find_weights(zoo.entry(name))
    assert weights.stat().st_size == card['bytes'] <= 20e6 and card['parameters'] <= 10e6
    most = dict(PSNR=50, hole_PSNR=50, SAD=10, MSE=100)
    assert all(0 < value <= most.get(key.split('/')[-1], 1) for key, value in card['metrics'].items())
    assert all(card[key] for key in ('data', 'terms', 'command', 'curve'))
    with safe_open(weights, 'pt') as file:
        has_no_classes = zoo.entry(name).task in ('depth', 'matting', 'restoration')
        assert has_no_classes or json.loads(file.metadata()['dataset_meta'])['classes']


@pytest.mark.parametrize('name', BUNDLED)
def test_predicts_a_photograph(name):
    predictor = densevit.load(name, device='cpu')
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    mask = np.zeros((90, 120), bool)
    mask[20:50, 30:70] = True
    fills = 'mask' in getattr(predictor.model, 'takes', ())
    result = predictor.predict(image, **(dict(mask=mask) if fills else {}))
    assert result.image_size == (90, 120)
    if zoo.entry(name).task == 'restoration':
        assert result.restored.shape == (result.scale * 90, result.scale * 120, 3)
        return
    if zoo.entry(name).task == 'matting':
        assert result.alpha.shape == (90, 120) and 0 <= result.alpha.min() <= result.alpha.max() <= 1
        return
    if zoo.entry(name).task == 'depth':
        assert np.isfinite(result.depth).all() and (result.depth > 0).all()
        return
    assert result.classes == predictor.classes
    if zoo.entry(name).task != 'detection':
        assert (result.semantic is None) == (zoo.entry(name).task == 'instance')
    assert np.isfinite(result.scores).all() and (result.scores > 0).all()


def measured(name, data, metric, tool, shared_data, monkeypatch, capsys, *arguments):
    """What tools/test.py measures with the weights in the package."""
    if not (shared_data / data).is_dir():
        pytest.skip(f'{data}: set DENSEVIT_TEST_DATA')
    monkeypatch.setenv('DENSEVIT_DATA', str(shared_data))
    entry = zoo.entry(name)
    assert tool('test', config_file(f'densevit::{entry.config}'), zoo.find_weights(entry), *arguments) == 0
    return float(re.findall(rf'\b{metric}: ([\d.]+)', capsys.readouterr().out)[-1])


def test_camvid_of_the_first_24_images(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The mIoU of the card is that of all 233 images (0.603), whose evaluation takes half a minute."""
    value = measured('eomt_tiny_camvid', 'camvid', 'mIoU', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=24')
    assert value == pytest.approx(57.31, abs=.1)


def test_animals_of_the_first_24_images(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The mIoU of the card is that of all 445 images (0.778), whose evaluation takes a minute."""
    value = measured('eomt_tiny_animals', 'voc_animals', 'mIoU', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=24')
    assert value == pytest.approx(77.66, abs=.2)


def test_nuclei_ap_of_the_first_5_images(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The AP of the card is that of all 80 images (0.442), whose evaluation takes a minute."""
    value = measured('eomt_tiny_nuclei', 'dsb2018_nuclei', 'AP', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=5')
    assert value == pytest.approx(49.47, abs=.3)


def test_blood_cells_of_the_first_12_images(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The AP of the card is that of all 72 images (0.587)."""
    value = measured('lwdetr_tiny_bccd', 'bccd', 'AP', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=12')
    assert value == pytest.approx(53.5, abs=.3)


def test_animals_in_boxes_of_the_first_40_images(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The AP of the card is that of all 445 images (0.438)."""
    value = measured('deim_tiny_animals', 'voc_animals', 'AP', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=40')
    assert value == pytest.approx(35.9, abs=.3)


def test_super_resolution_of_set5(tool, tmp_path, shared_data, monkeypatch, capsys):
    """PSNR and SSIM of luma without a border of two pixels; bicubic interpolation has 33.66 dB."""
    card = densevit.model_card('swinir_tiny_x2')['metrics']
    value = measured('swinir_tiny_x2', 'sr_test', 'Y_border2/PSNR', tool, shared_data, monkeypatch, capsys,
                     '--work-dir', tmp_path)
    assert value == pytest.approx(card['Y_border2/PSNR'], abs=.01)
    assert value > 33.66 + 1.5


def test_depth_of_the_first_8_rooms(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The delta1 of the card is that of all 124 rooms (0.653)."""
    value = measured('dpt_tiny_indoor', 'nyu_depth', 'delta1', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=8')
    assert value == pytest.approx(.6024, abs=.003)


def test_noise_of_set5(tool, tmp_path, shared_data, monkeypatch, capsys):
    """PSNR of RGB; the pictures with noise have 20.8 dB."""
    card = densevit.model_card('swinir_tiny_denoise25')['metrics']
    value = measured('swinir_tiny_denoise25', 'sr_test', 'RGB/PSNR', tool, shared_data, monkeypatch, capsys,
                     '--work-dir', tmp_path)
    assert value == pytest.approx(card['RGB/PSNR'], abs=.01)
    assert value > 20.81 + 8


def test_holes_of_the_first_5_of_set14(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The PSNR of holes of the card is that of all 14 pictures (17.88, where OpenCV's Telea has 17.23)."""
    value = measured('mat_tiny', 'sr_test', 'RGB/hole_PSNR', tool, shared_data, monkeypatch, capsys, '--work-dir',
                     tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=5')
    assert value == pytest.approx(18.06, abs=.01)


def test_opacity_of_the_first_6_renderings(tool, tmp_path, shared_data, monkeypatch, capsys):
    """The SAD of the card is that of 100 renderings (2.60, where .5 in the unknown regions has 11.15)."""
    value = measured('vitmatte_tiny', 'voc_animals', 'unknown/SAD', tool, shared_data, monkeypatch, capsys,
                     '--work-dir', tmp_path, '--cfg-options', 'test_dataloader.dataset.indices=6')
    assert value == pytest.approx(2.630, abs=.02)
