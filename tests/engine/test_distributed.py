"""Two processes train as one does with the doubled batch, whole and sharded.

Per process, the mask losses are divided by the mean number of segments of all processes, so that their mean over the
processes is the loss of the joined batch. The class loss is a weighted mean over the queries of each process (as in the
authors' code), with weights that follow from the number of segments: the means are those of the joined batch where
all processes have the same number of segments. Here, every picture has the same four.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from densevit.engine import cli, distributed
from densevit.engine.distributed import LauncherError, prepare_launcher

HERE = Path(__file__).parent
FSDP = HERE.parents[1] / 'configs' / 'tiny' / 'eomt_tiny_camvid_fsdp.py'

SAME = """
_base_ = ['tiny.py']
custom_imports = dict(imports=['fixed_points'])
model = dict(backbone=dict(drop_path_rate=0.))
train_dataloader = dict(batch_size={batch_size}, dataset=dict(pipeline=[
    dict(type='densevit.SeedAugmentation'), dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(64, 64)), dict(type='RandomFlip', prob=.5), dict(type='PackSegInputs')]))
optim_wrapper = dict(clip_grad=None)
train_cfg = dict(max_iters=5)
val_dataloader = val_cfg = val_evaluator = None
default_hooks = dict(checkpoint=dict(interval=100))
custom_hooks = [dict(type='FixedPointsHook')]
"""
# Batch norms of PyTorch in the backbone, of ours in the head.
NORMS = """
model = dict(
    type='densevit.PixelSegmentor',
    backbone=dict(
        _delete_=True, type='densevit.TimmPyramid', name='resnet10t', layers=(1, 1, 1, 1), channels=(8, 8, 16, 16)),
    head=dict(_delete_=True, type='densevit.SegFormerNet', width=16, dropout=0.),
    criterion=None)
sync_bn = 'mmcv'
model_wrapper_cfg = dict(type='MMDistributedDataParallel')
"""

# Every parameter that learns gets a gradient in each step: nothing looks for unused ones.
LORA = 'model = dict(backbone=dict(drop_path_rate=0., lora=dict(r=4)))\n'


def write_pictures(folder: Path) -> None:
    """Replace the labels by four areas that every picture has."""
    generator = np.random.default_rng(1)
    for path in sorted((folder / 'trainannot').iterdir()):
        labels = np.zeros((72, 96), np.uint8)
        y, x = generator.integers(20, 50), generator.integers(20, 70)
        labels[y:], labels[:y, x:], labels[y:, x:] = 3, 5, 8
        Image.fromarray(labels).save(path)


def curve(work_dir: Path, processes: int) -> np.ndarray:
    """The losses of each iteration, averaged over the processes."""
    files = [json.loads((work_dir / f'losses_{rank}.json').read_text()) for rank in range(processes)]
    return np.mean([[list(losses.values()) for losses in file] for file in files], axis=0)


def start(names: Sequence[str], tmp_path: Path) -> None:
    """Train configs, one after the other, in two processes."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
    runs = [str(part) for name in names for part in (tmp_path / f'{name}.py', tmp_path / name)]
    result = subprocess.run(
        [*command, str(HERE / 'two_processes.py'), *runs], capture_output=True, text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join([str(HERE), *sys.path])})
    assert result.returncode == 0, result.stderr[-3000:]


def test_two_processes_have_the_loss_curve_of_one(camvid_like, tiny_config, tool, tmp_path, monkeypatch):
    write_pictures(camvid_like)
    monkeypatch.syspath_prepend(str(HERE))
    configs = {name: tmp_path / f'{name}.py' for name in
               ('one', 'two', 'sharded', 'one_norms', 'norms', 'one_lora', 'lora')}
    configs['one'].write_text(SAME.format(batch_size=4))
    configs['two'].write_text(SAME.format(batch_size=2))
    strategy = Config.fromfile(FSDP).strategy.to_dict()
    configs['sharded'].write_text(
        f"{SAME.format(batch_size=2)}runner_type = 'FlexibleRunner'\nstrategy = {strategy}\n")
    configs['one_lora'].write_text(SAME.format(batch_size=4) + LORA)
    configs['lora'].write_text(SAME.format(batch_size=2) + LORA)
    configs['one_norms'].write_text(SAME.format(batch_size=4) + NORMS)
    configs['norms'].write_text(SAME.format(batch_size=2) + NORMS)
    for name in ('one', 'one_norms', 'one_lora'):
        assert tool('train', configs[name], '--work-dir', tmp_path / name) == 0
    start(('two', 'sharded', 'norms', 'lora'), tmp_path)
    for name, processes in dict(two='one', sharded='one', norms='one_norms', lora='one_lora').items():
        one = curve(tmp_path / processes, 1)
        assert one.shape[0] == 5 and one[0, 0] > one[-1, 0]  # it learns
        np.testing.assert_allclose(curve(tmp_path / name, 2), one, atol=1e-4, err_msg=name)
    whole, sharded = (torch.load(tmp_path / name / 'iter_5.pth', weights_only=False)['state_dict']
                      for name in ('two', 'sharded'))
    assert {name: weight.shape for name, weight in whole.items()} == {
        name: weight.shape for name, weight in sharded.items()}


def test_launcher_without_its_variables_is_refused(tiny_config, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(LauncherError, match='no RANK.*dist_train.sh'):
        prepare_launcher(Config.fromfile(tiny_config), 'pytorch')


def test_process_group_on_gpus_is_there_before_the_work_dir_is(tiny_config, monkeypatch):
    """Else each process would take itself for the main one, and move checkpoints at the same time."""
    calls = []
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(distributed, 'init_dist', lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(distributed, 'set_multi_processing', lambda **kwargs: None)
    for strategy in (None, 'FSDPStrategy', 'DeepSpeedStrategy'):
        cfg = Config.fromfile(tiny_config)
        if strategy:
            cfg.merge_from_dict(dict(runner_type='FlexibleRunner', strategy=dict(type=strategy)))
        calls.clear()
        prepare_launcher(cfg, 'pytorch')
        assert calls == ([] if strategy == 'DeepSpeedStrategy' else [(('pytorch', ), dict(backend='nccl'))])
        assert 'model_wrapper_cfg' not in cfg


def test_one_process_looks_and_all_do_the_same(monkeypatch):
    outcome = ['iter_3.pth', None]
    monkeypatch.setattr(distributed, 'is_main_process', lambda: False)
    monkeypatch.setattr(distributed, 'broadcast_object_list', lambda data: data.__setitem__(slice(None), outcome))

    def look():
        raise AssertionError('not in this process')

    assert distributed.decide_once(look) == 'iter_3.pth'
    outcome[:] = None, ValueError('damaged')
    with pytest.raises(ValueError, match='damaged'):
        distributed.decide_once(look)


def test_sharding_in_one_process_is_refused():
    with pytest.raises(LauncherError, match='FSDPStrategy needs several processes'):
        prepare_launcher(Config.fromfile(FSDP), 'none')


def test_start_scripts_say_how_to_use_them():
    for name in ('dist_train.sh', 'dist_test.sh'):
        result = subprocess.run(['bash', str(HERE.parents[1] / 'tools' / name)], capture_output=True, text=True)
        assert result.returncode == cli.EXIT_ERROR and 'usage' in result.stderr
