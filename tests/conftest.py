"""A small data set, a small config, and what several tests need to run the tools."""
from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT, forget_runs, take_shortcuts
from PIL import Image

# Threads of tiny models wait for each other longer than they work; in processes that tests start, too.
os.environ.setdefault('OMP_NUM_THREADS', '1')
torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))

# Real data sets; $DENSEVIT_DATA is where the tools look for them.
TEST_DATA = [Path(folder) for folder in (os.environ.get('DENSEVIT_TEST_DATA'), ROOT.parent / 'shared' / 'data')
             if folder and Path(folder).is_dir()]
if TEST_DATA:
    os.environ.setdefault('DENSEVIT_DATA', str(TEST_DATA[0]))

TINY_CONFIG = """
_base_ = ['{root}/configs/_base_/default_runtime.py', '{root}/configs/_base_/datasets/camvid.py']
model = dict(
    type='densevit.MaskSegmentor',
    num_classes=11,
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_val=0, seg_pad_val=255,
        size=(64, 64)),
    backbone=dict(
        type='densevit.PlainViT', img_size=64, patch_size=16, embed_dim=32, depth=3, num_heads=2, class_token=False,
        drop_path_rate=.1),
    head=dict(type='densevit.EoMT', num_queries=12, num_blocks=2),
    criterion=dict(num_points=128))
train_pipeline = [
    dict(type='densevit.SeedAugmentation'), dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(96, 72), ratio_range=(.9, 2.), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(64, 64)), dict(type='RandomFlip', prob=.5), dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), constructor='densevit.LayerDecayConstructor',
    clip_grad=dict(max_norm=1.))
param_scheduler = [dict(type='densevit.TwoStageWarmupPolyLR', by_epoch=False, head_warmup=2, backbone_warmup=2)]
train_cfg = dict(type='densevit.SeededIterLoop', max_iters=8, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [dict(type='densevit.MaskAnnealingHook'), dict(type='mmengine.EMAHook', momentum=.1)]
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=1))
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
"""


def write_camvid(folder: Path, num_train: int = 6, num_test: int = 2) -> None:
    """A data set in CamVid's layout: 96x72 pictures of coloured rectangles, a class each, and some void."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 255, (12, 3))
    for split, count in (('train', num_train), ('val', num_test), ('test', num_test)):
        (folder / split).mkdir(parents=True)
        (folder / f'{split}annot').mkdir()
        for index in range(count):
            labels = np.zeros((72, 96), np.uint8)
            labels[36:] = 3
            for label in (5, 8, 11):
                y, x = generator.integers(0, 48), generator.integers(0, 64)
                labels[y:y + 24, x:x + 32] = label
            image = np.clip(colours[labels] + generator.normal(0, 10, (72, 96, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / split / f'{index:03}.jpg')
            Image.fromarray(labels).save(folder / f'{split}annot' / f'{index:03}.png')
        (folder / f'{split}.txt').write_text(''.join(f'{index:03}\n' for index in range(count)))


@pytest.fixture
def camvid_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in CamVid's layout, found as ``data/camvid``; the current folder is an empty one beside it."""
    folder = tmp_path / 'datasets' / 'camvid'
    write_camvid(folder)
    (tmp_path / 'here').mkdir()
    monkeypatch.setenv('DENSEVIT_DATA', str(folder.parent))
    monkeypatch.chdir(tmp_path / 'here')
    return folder


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    """A config of a small EoMT on ``data/camvid`` that trains 8 iterations of 2 images."""
    path = tmp_path / 'tiny.py'
    path.write_text(TINY_CONFIG.format(root=ROOT.as_posix()))
    return path


@pytest.fixture(autouse=True)
def no_scope_is_left():
    """mmengine looks up the names of a test in the scope that the one before it ran in."""
    yield
    if 'mmengine.registry' in sys.modules:
        sys.modules['mmengine.registry'].DefaultScope._instance_dict.clear()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep what was imported out of garbage collection: to look through it takes half a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def installed_configs_are_listed_once():
    """mmengine reads the lists of all configs of a package for each ``_base_`` that names one."""
    if find_spec('mmengine') is None:
        yield
        return
    from mmengine.config import utils
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        yield


@pytest.fixture
def quick_runs(monkeypatch: pytest.MonkeyPatch):
    """For tests that train themselves."""
    take_shortcuts(monkeypatch.setattr)
    yield
    forget_runs()  # the scope of the last one, too


@pytest.fixture
def tool(quick_runs):
    """A function that runs a command in this process: ``tool('train', *arguments)`` gives the exit code."""
    def run(name: str, *arguments: object) -> int:
        from densevit import commands
        forget_runs()
        return commands.main([name, *map(str, arguments)])
    return run


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """The folder of real data sets; skips where there is none."""
    if not TEST_DATA:
        pytest.skip('real data: set DENSEVIT_TEST_DATA')
    return TEST_DATA[0]
