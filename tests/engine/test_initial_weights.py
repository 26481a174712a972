"""``--load-from``: checkpoints under any name, of which no code runs."""
from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import HOOKS, MODELS

from densevit.engine import run_config
from densevit.engine.initial_weights import InitialWeightsHook

ONE_STEP = ('train_cfg.max_iters=1', 'optim_wrapper.optimizer.lr=0')  # of rate 0: the weights stay as loaded


class Trap:
    def __reduce__(self):
        return os.mkdir, ('trapped', )


@pytest.fixture
def source(tiny_config) -> dict[str, torch.Tensor]:
    """The state of a model of the config that no run begins with."""
    cfg = Config.fromfile(tiny_config)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        return MODELS.build(dict(cfg.model, _scope_='mmseg')).state_dict()


def trained(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / 'iter_1.pth', weights_only=False)['state_dict']


def differing(left: dict[str, Any], right: dict[str, Any]) -> set[str]:
    names = {name for name in left if 'attn_mask_probs' not in name}  # set by annealing
    return {name for name in names if name not in right or not torch.equal(left[name], right[name])}


@pytest.mark.parametrize('official', [False, True], ids=['own names', "authors' names"])
def test_checkpoint_is_loaded(camvid_like, tiny_config, source, tool, tmp_path, official):
    state = source
    if official:
        state = {name.replace('backbone.trunk', 'encoder.backbone').replace('query.', 'q.'): tensor
                 for name, tensor in source.items() if not name.startswith('criterion.')}
    torch.save(state, tmp_path / 'weights.pth')
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--load-from', tmp_path / 'weights.pth',
                '--cfg-options', *ONE_STEP) == 0
    assert not differing(source, trained(tmp_path / 'run'))


def test_new_classes_leave_the_class_head_out(camvid_like, tiny_config, source, tool, tmp_path):
    heads = {name for name in source if 'class_head' in name}
    other = {name: tensor[:5] if name in heads else tensor for name, tensor in source.items()}
    other = {name: tensor for name, tensor in other.items() if not name.startswith('criterion.')}
    torch.save(other, tmp_path / 'weights.pth')
    arguments = ['train', tiny_config, '--work-dir', tmp_path / 'run', '--load-from', tmp_path / 'weights.pth']
    assert tool(*arguments, '--cfg-options', *ONE_STEP) == 2
    assert tool(*arguments, '--new-classes', '--cfg-options', *ONE_STEP) == 0
    assert differing(other, trained(tmp_path / 'run')) == heads


def test_a_pickle_does_not_run(camvid_like, tiny_config, tool, tmp_path, capsys):
    torch.save(dict(state_dict=Trap()), tmp_path / 'trap.pth')
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--cfg-options',
                f'load_from={tmp_path / "trap.pth"}', *ONE_STEP) == 2
    assert 'could run any code' in capsys.readouterr().err
    assert tool('test', tiny_config, tmp_path / 'trap.pth', '--work-dir', tmp_path / 'test', '--cfg-options',
                f'load_from={tmp_path / "trap.pth"}') == 2
    assert 'could run any code' in capsys.readouterr().err
    assert not Path('trapped').exists()


def test_names_that_fit_nothing_are_an_error(camvid_like, tiny_config, tool, tmp_path, capsys):
    torch.save({'some.weight': torch.zeros(3)}, tmp_path / 'weights.pth')
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--load-from', tmp_path / 'weights.pth') == 2
    assert 'some.weight' in capsys.readouterr().err


def test_checkpoint_of_the_same_work_dir(camvid_like, tiny_config, source, tool, tmp_path):
    (tmp_path / 'run').mkdir()
    torch.save(source, tmp_path / 'run' / 'iter_7.pth')
    assert tool('train', tiny_config, '--work-dir', tmp_path / 'run', '--load-from', tmp_path / 'run' / 'iter_7.pth',
                '--cfg-options', *ONE_STEP) == 0
    assert (tmp_path / 'run' / 'earlier_1' / 'iter_7.pth').is_file()
    assert not differing(source, trained(tmp_path / 'run'))


def test_a_hook_of_a_config_fills_a_wrapped_model_that_begins(tmp_path):
    """A run that is resumed keeps what it has learned."""
    model, log = torch.nn.Linear(1, 1), []
    torch.save(dict(weight=torch.full((1, 1), 5.), bias=torch.zeros(1)), tmp_path / 'a.pth')
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    torch.nn.Module.__init__(wrapper)
    wrapper.module = model
    hook = HOOKS.build(dict(type='densevit.InitialWeightsHook', path=str(tmp_path / 'a.pth')))
    for step, expected in ((3, False), (0, True)):
        hook.before_train(SimpleNamespace(model=wrapper, iter=step, logger=SimpleNamespace(info=log.append)))
        assert (model.weight.item() == 5.) == expected
    assert len(log) == 1 and 'a.pth' in log[0]


def test_sharded_model_is_refused():
    cfg = Config(dict(load_from='a.pth', runner_type='FlexibleRunner', strategy=dict(type='mmengine.FSDPStrategy')))
    with pytest.raises(run_config.ConfigError, match='cannot fill a model under (FSDP|DeepSpeed)Strategy.*init_cfg'):
        run_config.train(cfg)


def test_resumed_run_loads_nothing_else(monkeypatch):
    calls = []

    class Runner:
        def register_hook(self, hook):
            calls.append(hook)

        def train(self):
            calls.append('train')

    monkeypatch.setattr(run_config, 'build_runner', lambda cfg: Runner())
    cfg = Config(dict(load_from='iter_3.pth', resume=True))
    run_config.train(cfg)
    assert calls[-1] == 'train' and cfg.load_from == 'iter_3.pth'
    assert not any(isinstance(call, InitialWeightsHook) for call in calls)


def test_what_cannot_be_loaded_is_said_before_anything_is_moved(tiny_config, tool, tmp_path, capsys):
    assert tool('train', tiny_config, '--load-from', tmp_path / 'absent.pth') == 2
    assert 'absent.pth of --load-from does not exist' in capsys.readouterr().err
    assert tool('train', tiny_config, '--new-classes') == 2
    assert '--load-from CHECKPOINT' in capsys.readouterr().err
