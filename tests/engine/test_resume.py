"""A run that was killed and resumed ends with the weights of one that was not."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from densevit.engine import run_config
from densevit.pickles import load_torch


class Killed(BaseException):
    """In place of SIGKILL: no handler of the program sees it."""


@HOOKS.register_module()
class KillForTestHook(Hook):
    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if runner.iter == self.iteration:
            raise Killed


def train(tool: Any, config: Path, work_dir: Path, *arguments: str, workers: int, kill: int | None = None,
          seed: int | None = None) -> Path:
    options = [f'train_dataloader.num_workers={workers}']
    if seed is not None:
        options.append(f'randomness.seed={seed}')
    if kill is not None:
        options += ['custom_hooks.2.type=KillForTestHook', f'custom_hooks.2.iteration={kill}']
        config = with_hook(config)
    assert tool('train', config, '--work-dir', work_dir, *arguments, '--cfg-options', *options) == 0
    return work_dir / 'iter_8.pth'


def with_hook(config: Path) -> Path:
    path = config.with_name('killed.py')
    path.write_text(config.read_text() + "\ncustom_hooks += [dict(type='Hook')]\n")
    return path


def load(path: Path) -> dict[str, Any]:
    return load_torch(path)


def assert_same(left: Any, right: Any, where: str = '') -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f'{where}.{index}')
    else:
        assert left == right, where


@pytest.mark.parametrize(('workers', 'kill', 'amp'), [(0, 5, False), (1, 4, False), (0, 7, True)])
def test_resumed_run_has_the_weights_of_a_whole_one(camvid_like, tiny_config, tool, tmp_path, workers, kill, amp):
    amp = ['--amp', 'bf16'] if amp else []
    whole = load(train(tool, tiny_config, tmp_path / 'whole', *amp, workers=workers))
    with pytest.raises(Killed):
        train(tool, tiny_config, tmp_path / 'killed', *amp, workers=workers, kill=kill)
    assert not (tmp_path / 'killed' / 'iter_8.pth').exists()
    resumed = load(train(tool, tiny_config, tmp_path / 'killed', '--resume', *amp, workers=workers))
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[part], resumed[part], part)


@pytest.mark.parametrize('seed', [5, None])
def test_resumed_run_goes_on_with_the_seed_of_its_checkpoint(camvid_like, tiny_config, tool, tmp_path, seed):
    tiny_config.write_text(f'{tiny_config.read_text()}\nrandomness = dict(seed={seed})\n')
    with pytest.raises(Killed):
        train(tool, tiny_config, tmp_path / 'killed', workers=0, kill=5)
    seed = load(tmp_path / 'killed' / 'iter_3.pth')['meta']['seed']
    resumed = load(train(tool, tiny_config, tmp_path / 'killed', '--resume', workers=0, seed=8))
    whole = load(train(tool, tiny_config, tmp_path / 'whole', workers=0, seed=seed))
    assert resumed['meta']['seed'] == seed
    assert_same(whole['state_dict'], resumed['state_dict'])


def test_another_seed_gives_other_weights(camvid_like, tiny_config, tool, tmp_path):
    first = load(train(tool, tiny_config, tmp_path / 'a', workers=0))
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'b', '--cfg-options', 'randomness.seed=1') == 0
    weight = 'network.query.weight'
    assert not torch.equal(first['state_dict'][weight], load(tmp_path / 'b' / 'iter_8.pth')['state_dict'][weight])


def test_checkpoint_carries_config_classes_and_palette(camvid_like, tiny_config, tool, tmp_path):
    meta = load(train(tool, tiny_config, tmp_path / 'run', workers=0))['meta']
    assert meta['dataset_meta']['classes'][:2] == ('sky', 'building')
    assert len(meta['dataset_meta']['palette']) == 11
    assert "type='densevit.EoMT'" in meta['cfg']
    assert meta['iter'] == 8 and meta['seed'] == 0


def test_new_run_moves_earlier_checkpoints_aside(camvid_like, tiny_config, tool, tmp_path, capsys):
    path = train(tool, tiny_config, tmp_path / 'run', workers=0)
    before = path.read_bytes()
    train(tool, tiny_config, tmp_path / 'run', workers=0)
    assert (tmp_path / 'run' / 'earlier_1' / 'iter_8.pth').read_bytes() == before
    assert 'earlier_1' in capsys.readouterr().out


def test_resume_without_a_checkpoint_begins(camvid_like, tiny_config, tool, tmp_path, capsys):
    train(tool, tiny_config, tmp_path / 'run', '--resume', workers=0)
    assert 'nothing to resume' in capsys.readouterr().err


def test_amp_without_cuda_is_bf16(tiny_config):
    cfg = run_config.load_config(str(tiny_config), {'optim_wrapper.type': 'AmpOptimWrapper'})
    run_config.use_amp(cfg, None)
    assert cfg.optim_wrapper.type == ('AmpOptimWrapper' if torch.cuda.is_available() else
                                      'densevit.AutocastOptimWrapper')


def test_amp_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    whole = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
    sharded = Config(dict(whole.to_dict(), runner_type='FlexibleRunner', strategy=dict(type='FSDPStrategy')))
    with pytest.raises(run_config.ConfigError, match='FSDP.*--amp bf16'):
        run_config.use_amp(sharded, 'fp16')
    for cfg, expected in ((whole, 'AmpOptimWrapper'), (sharded, 'densevit.AutocastOptimWrapper')):
        run_config.use_amp(cfg, 'auto')
        assert cfg.optim_wrapper.type == expected
