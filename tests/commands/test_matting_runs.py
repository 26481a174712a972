"""Matting from folders of one's own: training, resuming, testing, predicting, and what is said of data."""
from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from mattes import SIZE, band, disc, save, write_foregrounds, write_images
from PIL import Image

from densevit.datasets.matting.alpha_files import read_alpha

CONFIG = f"""
_base_ = ['{ROOT.as_posix()}/configs/vitmatte/vitmatte_s_comp1k.py']
model = dict(
    backbone=dict(
        img_size=64, embed_dim=32, depth=2, num_heads=2, pos_embed_grid=4, window_size=2, global_blocks=(1, ),
        init_cfg=None),
    head=dict(residual_blocks=(1, ), detail_channels=(6, 8, 12), fusion_channels=(16, 12, 8, 8), hidden_dim=8))
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), dict(type='densevit.LoadAlpha'),
    dict(type='densevit.MattingCrop', size=48), dict(type='densevit.ComposeForeground', backgrounds='nowhere'),
    dict(type='densevit.RandomTrimap', width=(1, 5)), dict(type='densevit.PackMatting')]
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = []
train_cfg = dict(max_iters=4, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=2))
val_evaluator = dict(pictures=1)
test_evaluator = dict(pictures=1)
"""


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / 'tiny_matting.py').write_text(CONFIG)
    return tmp_path / 'tiny_matting.py'


def test_composed__train_resume_test_and_predict(tmp_path, config, capsys, monkeypatch, tool):
    """What training writes, testing and predicting read; a run that goes on ends with the weights of one at a time."""
    monkeypatch.chdir(tmp_path)
    folder, work = write_foregrounds(tmp_path / 'mine', 6), tmp_path / 'run'
    assert tool('train', config, '--data', folder, '--work-dir', work) == 0
    out = capsys.readouterr().out
    assert 'foregrounds with opacities, on 6 backgrounds' in out and 'there are no trimaps/' in out
    assert (work / 'curve.png').exists()
    pictures = list(work.rglob('matting/0*.png'))
    assert len(pictures) == 1 and Image.open(pictures[0]).width > 1500, 'five panels'
    figures = [float(value) for value in re.findall(r'unknown/SAD: ([\d.]+)', out)]
    best = next(work.glob('best_unknown_SAD_*.pth'))
    assert torch.load(best, weights_only=False)['message_hub']['runtime_info']['best_score'] == pytest.approx(
        min(figures), abs=1e-4), 'less is better'

    half = tmp_path / 'half'
    assert tool('train', config, '--data', folder, '--work-dir', half, '--cfg-options', 'train_cfg.max_iters=2') == 0
    assert tool('train', config, '--data', folder, '--work-dir', half, '--resume') == 0
    whole, resumed = (torch.load(each / 'iter_4.pth', weights_only=False)['state_dict'] for each in (work, half))
    assert all((whole[name] == resumed[name]).all() for name in whole)

    capsys.readouterr()
    assert tool('test', config, best, '--data', folder, '--work-dir', tmp_path / 'test') == 0
    tested = re.findall(r'unknown/SAD: ([\d.]+)', capsys.readouterr().out)
    assert float(tested[-1]) == pytest.approx(min(figures), abs=1e-4)

    picture = save(np.full((*SIZE, 3), 90, np.uint8), tmp_path / 'cat.png')
    trimap = save(band(disc()), tmp_path / 'trimap.png')
    assert tool('predict', picture, '--config', work / config.name, '--weights', best, '--trimap', trimap, '--alpha',
               '--json') == 0
    alpha = read_alpha('outputs/cat.png.alpha.png')
    assert alpha.shape == SIZE and (alpha[disc() == 255] == 1).all() and (alpha[disc() == 0] == 0).all()
    assert json.loads(Path('outputs/cat.png.json').read_text())['task'] == 'matting'


def test_images_with_trimaps(tmp_path, config, capsys, tool):
    """What is doubtful about files is counted in the table before the run."""
    folder = write_images(tmp_path / 'mine', 6, trimaps=True)
    save(np.where(disc(1) > 99, 255, 0).astype(np.uint8), folder / 'alpha' / '001.png')
    (folder / 'val.txt').write_text('000\n')
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'run', '--cfg-options',
               'train_cfg.max_iters=2', 'train_cfg.val_interval=2') == 0
    out = capsys.readouterr().out
    assert 'images with opacities' in out and 'as val.txt say' in out
    assert 'train: 1 of 5 opacities are 0 or 1 at each pixel: they are masks' in out
    assert list((tmp_path / 'run').glob('best_unknown_SAD_*.pth'))


def test_faults__are_one_line(tmp_path, config, capsys, tool):
    folder = write_images(tmp_path / 'mine', 4)
    save(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8), folder / 'alpha' / '001.png')
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'run') == 2
    assert 'alpha/001.png has colours' in capsys.readouterr().err.strip().splitlines()[-1]
    (folder / 'alpha' / '001.png').unlink()
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'run') == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'images/001.jpg has no opacity in' in error and 'add a file of the same name' in error
