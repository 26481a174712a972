"""Depth from a folder of one's own: training, testing, predicting, and what is said of data that does not fit."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image
from rooms import SAVE, SIZE, room, write_rooms

from densevit.datasets.common.folders import FolderError, use_folder
from densevit.datasets.depth.depth_files import read_depth

CONFIG = f"""
_base_ = [
    '{ROOT.as_posix()}/configs/_base_/default_runtime.py', '{ROOT.as_posix()}/configs/_base_/datasets/nyu_depth.py']
size = (48, 64)
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='densevit.LoadImage'), dict(type='densevit.LoadDepth'),
    dict(type='densevit.DepthCrop', size=size), dict(type='densevit.PackDepth')]
test_pipeline = [
    dict(type='densevit.LoadImage'), dict(type='densevit.ResizeForDepth', size=size), dict(type='densevit.LoadDepth'),
    dict(type='densevit.PackDepth')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
model = dict(
    type='densevit.MonocularDepth',
    data_preprocessor=dict(type='mmengine.ImgDataPreprocessor', mean=[127.] * 3, std=[60.] * 3, bgr_to_rgb=True),
    backbone=dict(
        type='densevit.PlainViT', img_size=64, patch_size=8, embed_dim=32, depth=4, num_heads=2, class_token=False,
        out_indices=(0, 1, 2, 3)),
    head=dict(type='densevit.DPTDepth', channels=(8, 8, 8, 8), width=8, hidden_dim=4, readout='ignore',
              activation='exp', canonical_focal=50.))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2), clip_grad=dict(max_norm=1.))
param_scheduler = []
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=30, val_interval=15)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=15), logger=dict(interval=5))
val_evaluator = dict(type='densevit.DepthErrorMetric', crop='nyu_eigen', pictures=1)
test_evaluator = val_evaluator
"""


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / 'tiny_depth.py').write_text(CONFIG)
    return tmp_path / 'tiny_depth.py'


def test_train_test_and_predict(tmp_path, config, capsys, monkeypatch, tool):
    """What training writes, testing and predicting read: with one figure, and metres that were learned."""
    monkeypatch.chdir(tmp_path)
    folder, work = write_rooms(tmp_path / 'mine', 8, form='npy'), tmp_path / 'run'
    (folder / 'depth.json').write_text('{"camera": 55}')
    assert tool('train', config, '--data', folder, '--work-dir', work) == 0
    said = capsys.readouterr().out
    assert 'images and depth' in said and 'half of the depth is nearer than 4 m, all of it than 4 m' in said
    assert (work / 'curve.png').exists() and list(work.rglob('depth/0*.png')), 'curve and pictures'
    best = next(work.glob('best_*delta1*.pth'))
    before = capsys.readouterr()
    assert tool('test', config, best, '--data', folder, '--work-dir', tmp_path / 'test') == 0
    assert 'full_0.001-5m_clamped/delta1' in before.out + capsys.readouterr().out
    picture = folder / 'images' / '000.jpg'
    arguments = ['predict', picture, '--config', work / config.name, '--weights', best, '--json', '--npy', '--png16']
    assert tool(*arguments, '--focal', 55) == 0
    depth = read_depth('outputs/000.jpg.npy')
    assert depth.shape == SIZE and np.abs(read_depth('outputs/000.jpg.depth.png') - depth).max() < 1e-3
    truth = room(0)[1]
    assert np.median(depth[truth == 4]) > 1.5 * np.median(depth[truth == 1.5])
    assert tool(*arguments, '--focal', 110) == 0  # twice as far
    assert np.allclose(read_depth('outputs/000.jpg.npy'), 2 * depth, rtol=1e-4)
    content = json.loads(Path('outputs/000.jpg.json').read_text())
    assert content['task'] == 'depth' and content['camera']['origin'] == 'given'


def facts_of(folder, config, tmp_path):
    cfg = Config.fromfile(config)
    facts = use_folder(cfg, str(folder), tmp_path / 'scratch')
    datasets = {split: DATASETS.build(dict(cfg[f'{split}_dataloader'].dataset, pipeline=[
        dict(type='densevit.LoadImage'), dict(type='densevit.LoadDepth'), dict(type='densevit.PackDepth')]))
        for split in ('train', 'val')}
    return cfg, facts, datasets


@pytest.mark.parametrize('form', SAVE)
def test_folders__are_found(form, tmp_path, config):
    folder = write_rooms(tmp_path / 'mine of 2 words', 6, form, images='rgb')
    (folder / 'val.txt').write_text('002\n004.jpg\n')
    cfg, facts, datasets = facts_of(folder, config, tmp_path)
    assert facts.counts == dict(train=4, val=2) and 'val.txt' in facts.division
    assert datasets['val'][1]['data_samples'].img_path.endswith('004.jpg')
    truth = datasets['val'][0]['data_samples'].gt_depth_map.data[0].numpy()
    assert np.abs(truth - room(2)[1]).max() < 1e-3
    assert cfg.val_evaluator.crop == 'none' and cfg.val_evaluator.max_depth == 5. and cfg.val_evaluator.pictures == 1
    assert 'camera' not in datasets['train'][0]['data_samples']


def test_folders__cameras(tmp_path, config):
    folder = tmp_path / 'mine'
    for split in ('train', 'val'):
        write_rooms(folder / split, 2, 'npy')
    matrix = [[70, 0, 30], [0, 71, 20], [0, 0, 1]]
    (folder / 'depth.json').write_text(json.dumps(dict(camera={'000': 60, '001.jpg': matrix})))
    _, facts, datasets = facts_of(folder, config, tmp_path)
    assert facts.counts == dict(train=2, val=2)
    assert [sample['data_samples'].camera.tolist() for sample in datasets['val']] == [
        [60, 60, 31.5, 23.5], [70, 71, 30, 20]]
    assert not any('depth.json' in note for note in facts.notes)
    (folder / 'depth.json').write_text('{"camera": {"000": 60, "01": 60}}')
    notes = facts_of(folder, config, tmp_path)[1].notes
    assert any('of 1 names that are no image here, as 01' in note for note in notes)
    assert any('no camera of 2 of 4 images, as 001' in note for note in notes)
    (folder / 'depth.json').write_text('{"camera": "wide"}')
    with pytest.raises(FolderError, match='is no camera'):
        facts_of(folder, config, tmp_path)


def test_folders__nyu_and_kitti(tmp_path, config):
    nyu, kitti = tmp_path / 'nyu', tmp_path / 'kitti'
    for split, scene in (('train', 'kitchen_1'), ('train', 'office'), ('test', 'bathroom')):
        (nyu / split / scene).mkdir(parents=True)
        picture, depth = room()
        Image.fromarray(picture).save(nyu / split / scene / 'rgb_00007.jpg')
        SAVE['png'](depth, nyu / split / scene / 'sync_depth_00007')
        Image.fromarray(picture).save(nyu / split / scene / 'rgb_00008.jpg')  # without depth
    _, facts, datasets = facts_of(nyu, config, tmp_path / '1')
    assert facts.counts == dict(train=2, val=1, test=1) and 'NYUv2' in facts.layout
    assert datasets['val'][0]['data_samples'].gt_depth_map.data.max() == 4.
    for split, drive in (('train', '2011_09_26_drive_0001_sync'), ('val', '2011_09_26_drive_0002_sync')):
        image = kitti / '2011_09_26' / drive / 'image_02' / 'data'
        truth = kitti / split / drive / 'proj_depth' / 'groundtruth' / 'image_02'
        image.mkdir(parents=True), truth.mkdir(parents=True)
        for number in (5, 6):
            Image.fromarray(picture).save(image / f'{number:010}.png')
        Image.fromarray(np.full(SIZE, 5120, np.uint16)).save(truth / '0000000005.png')
    cfg, facts, datasets = facts_of(kitti, config, tmp_path / '2')
    assert facts.counts == dict(train=1, val=1) and cfg.val_evaluator.max_depth == 80.
    assert datasets['train'][0]['data_samples'].gt_depth_map.data.unique().tolist() == [20.]


def spoil(folder: Path, how: str) -> None:
    path = folder / 'depth' / '001.png'
    if how == 'missing':
        path.unlink()
    elif how == 'empty':
        shutil.rmtree(folder / 'images')
    elif how == '8 bits':
        for each in (folder / 'depth').iterdir():
            Image.fromarray(np.zeros(SIZE, np.uint8)).save(each)
    elif how == 'unknown':
        for each in (folder / 'depth').iterdir():
            Image.fromarray(np.zeros(SIZE, np.uint16)).save(each)
    elif how == 'size':
        Image.fromarray(np.full((9, 9), 2000, np.uint16)).save(path)
    elif how == 'json':
        (folder / 'depth.json').write_text('{"scale": 0}')


@pytest.mark.parametrize('how, said', [
    ('missing', '001.jpg has no depth in'), ('empty', 'holds no depth in images/ and depth/'),
    ('8 bits', 'has 8 bits a pixel'),
    ('unknown', 'no pixel of the depth in'), ('json', 'depth.json cannot be read'),
    ('size', "001.jpg is read with 64x48 pixels, but its depth "),
])
def test_faults__are_one_line(how, said, tmp_path, config, capsys, tool):
    folder = write_rooms(tmp_path / 'mine', 6)
    spoil(folder, how)
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'run') == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and str(folder) in error


def test_doubts__are_said(tmp_path, config, capsys, tool):
    """An image without depth that counts, depth without an image, and metres that are none."""
    folder = write_rooms(tmp_path / 'mine', 6)
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(folder / 'depth' / '001.png')
    (folder / 'images' / '002.jpg').unlink()
    (folder / 'depth.json').write_text('{"scale": 1}')
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'run', '--cfg-options',
               'train_cfg.max_iters=1') == 0
    captured = capsys.readouterr()
    assert 'is hardly what was meant: tell the unit' in captured.out
    assert f"without an image is left out: 1 files, as {folder / 'depth' / '002.png'}" in captured.out
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'which is hardly what was meant: correct depth_scale' in log
    assert 'images have no camera, as' in log and 'presumed to see 60 degrees' in log
