"""From a teacher to a student: a folder that a large model labels, and a small one that learns from it."""
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from rooms import SIZE, write_rooms
from test_depth_runs import CONFIG

from densevit.commands.label_depth import teaching_depth
from densevit.datasets.depth.depth_files import read_depth


def test_labels_teach(tmp_path, capsys, tool):
    """Of a teacher that knows no metres; a run that was stopped goes on; what is no picture is left out."""
    folder, out = write_rooms(tmp_path / 'photos', 6), tmp_path / 'labelled'
    (folder / 'images' / 'broken.jpg').write_bytes(b'no picture')
    Image.fromarray(np.zeros((40, 200, 3), np.uint8)).save(folder / 'images' / 'long.png')
    relative = CONFIG.replace("activation='exp', canonical_focal=50.", "activation='relu', kind='relative_disparity'")
    relative = relative.replace("crop='nyu_eigen', pictures=1",
                                "kind='relative_disparity', alignment='least_squares_disparity'")
    config = tmp_path / 'relative.py'
    config.write_text(relative)
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'teacher', '--cfg-options',
               'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2') == 2  # the broken one
    (folder / 'images' / 'broken.jpg').rename(tmp_path / 'broken.jpg')
    Image.fromarray(np.full((40, 200), 900, np.uint16)).save(folder / 'depth' / 'long.png')
    assert tool('train', config, '--data', folder, '--work-dir', tmp_path / 'teacher', '--cfg-options',
               'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2') == 0
    arguments = ['label-depth', folder / 'images', tmp_path / 'broken.jpg', '--config', config, '--weights',
                 tmp_path / 'teacher' / 'iter_2.pth', '--out', out, '--max-side', 100, '--device', 'cpu']
    assert tool(*arguments) == 0
    said = capsys.readouterr().out
    assert 'left out:' in said and 'broken.jpg' in said and f'--data {out}' in said
    assert len(list((out / 'depth').rglob('*.npy'))) == 7
    depth = read_depth(next((out / 'depth').rglob('long.npy')))
    assert depth.shape == (20, 100) and Image.open(next((out / 'images').rglob('long.png'))).size == (100, 20)
    assert json.loads((out / 'depth.json').read_text())['kind'] == 'relative'
    one = next((out / 'depth').rglob('000.npy'))
    one.unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.npy')}
    assert tool(*arguments) == 0 and one.exists()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert tool('train', config, '--data', out, '--work-dir', tmp_path / 'student', '--cfg-options',
               'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2') == 0
    assert (tmp_path / 'student' / 'iter_2.pth').exists()


def test_teaching_depth__is_an_affine_disparity():
    disparity = np.random.default_rng(0).uniform(-3, 50, SIZE).astype(np.float32)
    depth = teaching_depth(disparity, 'relative_disparity')
    assert depth.min() == pytest.approx(1.) and depth.max() == pytest.approx(10.)
    scale, shift = np.polyfit(disparity.ravel(), (1 / depth).ravel(), 1)
    assert scale > 0 and np.abs(scale * disparity + shift - 1 / depth).max() < 1e-4
    assert np.array_equal(teaching_depth(disparity, 'metric'), disparity)
    assert (teaching_depth(np.ones(SIZE), 'relative_disparity') > 0).all()


def test_no_teacher(tmp_path, capsys, tool):
    folder = write_rooms(tmp_path / 'photos', 1)
    assert tool('label-depth', folder / 'images', '--out', tmp_path / 'out') == 2
    assert 'give the teacher' in capsys.readouterr().err
    assert tool('label-depth', folder / 'images', '--out', tmp_path / 'out', '--model', 'eomt_tiny_camvid') == 2
    assert 'is no model of depth' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
