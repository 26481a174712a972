"""A run with low-rank adapters is stopped, resumed, tested, predicted with and published as any other."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file
from test_resume import Killed, assert_same, load, with_hook

from densevit.engine.run_config import ConfigError, train

LORA = ('model.backbone.lora.r=4', 'model.backbone.lora.alpha=8')
# Two batches for a step and an average with a warm-up, as on a small GPU.
COMFORT = ('optim_wrapper.accumulative_counts=2', 'custom_hooks.1.ema_type=mmdet.ExpMomentumEMA',
           'custom_hooks.1.gamma=3', 'default_hooks.checkpoint.interval=2')


def adapted(tool, config: Path, work_dir: Path, *arguments: object, kill: int | None = None) -> int:
    options = [*LORA, *COMFORT]
    if kill is not None:
        config = with_hook(config)
        options += ['custom_hooks.2.type=KillForTestHook', f'custom_hooks.2.iteration={kill}']
    return tool('train', config, '--amp', '--work-dir', work_dir, *arguments, '--cfg-options', *options)


def test_a_run_from_weights_to_a_published_file(camvid_like, tiny_config, tool, tmp_path, monkeypatch, capsys):
    first = tmp_path / 'first'
    assert tool('train', tiny_config, '--work-dir', first, '--cfg-options', 'train_cfg.max_iters=2') == 0
    source = first / 'iter_2.pth'
    capsys.readouterr()
    whole, run = tmp_path / 'whole', tmp_path / 'run'
    assert adapted(tool, tiny_config, whole, '--load-from', source) == 0
    said = capsys.readouterr()
    assert 'parameters are trained' in said.out + said.err and 'in adapters (LoRA)' in said.out + said.err
    with pytest.raises(Killed):
        adapted(tool, tiny_config, run, '--load-from', source, kill=5)
    assert adapted(tool, tiny_config, run, '--resume') == 0
    states = [load(folder / 'iter_8.pth') for folder in (whole, run)]
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(states[0][part], states[1][part], part)
    before, state = load(source)['state_dict'], states[0]['ema_state_dict']
    trunk = {name for name in before if name.startswith('network.backbone.trunk.')}
    assert trunk and all(torch.equal(before[name], state[f'module.{name}']) for name in trunk)
    assert any(tensor.any() for name, tensor in state.items() if name.endswith('lora_B.weight'))

    tables = []
    for options in (LORA, ()):  # with its own config and with the plain one
        capsys.readouterr()
        assert tool('test', tiny_config, whole / 'iter_8.pth', '--work-dir', tmp_path / f'test{len(options)}',
                    *(['--cfg-options', *options] if options else [])) == 0
        tables.append([line for line in capsys.readouterr().out.splitlines() if line.startswith('|')])
    assert tables[0] and tables[0] == tables[1]
    picture = sorted((camvid_like / 'test').iterdir())[0]
    for config in (next(whole.glob('*.py')), tiny_config):
        assert tool('predict', picture, '--config', config, '--weights', whole / 'iter_8.pth', '--out',
                    tmp_path / 'out' / config.parent.name, '--json') == 0
    monkeypatch.setattr('densevit.weights.publish.BUNDLED', tmp_path / 'bundled')
    assert tool('publish-weights', whole / 'iter_8.pth', 'eomt_tiny_camvid', '--metrics', 'mIoU=.1') == 0
    file = tmp_path / 'bundled' / 'eomt_tiny_camvid.safetensors'
    assert not [name for name in load_file(file) if 'lora' in name]
    assert tool('test', tiny_config, file, '--work-dir', tmp_path / 'published') == 0
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'next', '--load-from', whole / 'iter_8.pth',
                '--cfg-options', 'train_cfg.max_iters=1') == 0  # goes on with all of it


def test_another_rank_or_scale_is_not_resumed(camvid_like, tiny_config, tool, tmp_path, capsys):
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options', *LORA,
                'train_cfg.max_iters=2') == 0
    for changes, said in ((('model.backbone.lora.r=2', 'model.backbone.lora.alpha=4'), 'is of another model'),
                          (('model.backbone.lora.r=4', 'model.backbone.lora.alpha=4'), 'set alpha / r'),
                          ((), 'parameters')):
        capsys.readouterr()
        options = ['train_cfg.max_iters=4', *changes]
        assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--resume', '--cfg-options', *options) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ') and said in error


def test_sharded_runs_are_refused(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.merge_from_dict({'runner_type': 'FlexibleRunner', 'strategy': dict(type='FSDPStrategy'),
                         'model.backbone.lora': dict(r=4)})
    with pytest.raises(ConfigError, match='model.backbone.lora does not go with FSDPStrategy'):
        train(cfg)
