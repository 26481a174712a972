"""NaN and infinite values stop a run before they are learned, saved or predicted with."""
from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from toy import load, names, toy_run

from densevit.engine import guards
from densevit.engine.checkpoints import NonFiniteWeightsError
from densevit.engine.guards import NonFiniteLossError
from densevit.weights.finite import non_finite

pytestmark = pytest.mark.usefixtures('quick_runs')


@pytest.mark.parametrize('changes', [{}, {'optim_wrapper.clip_grad': dict(max_norm=1.)},
                                     {'optim_wrapper.clip_grad': dict(type='value', clip_value=1.)}],
                         ids=['free', 'clipped', 'clipped values'])
def test_a_gradient_of_nan_is_not_learned(tmp_path, changes):
    with pytest.raises(NonFiniteLossError, match=r'gradient is nan at iteration 4 on .*lr.*--resume') as error:
        toy_run(tmp_path, **{'model.broken': (3, ), **changes})
    assert names(tmp_path) == ['iter_2.pth']
    assert '3.jpg' in str(error.value)


def test_all_images_of_an_accumulated_gradient_are_named(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r'at iteration 4 on 2.jpg, 3.jpg:'):
        toy_run(tmp_path, **{'model.broken': (2, ), 'optim_wrapper.accumulative_counts': 2})


def test_a_gradient_whose_norm_overflows_does_not_pass_as_zero(tmp_path):
    with pytest.raises(NonFiniteLossError, match='gradient is inf'):
        toy_run(tmp_path, **{'optim_wrapper.clip_grad': dict(max_norm=1.), 'model.steep': (1, ),
                             'model.slope': 1e30})


SKIP = [dict(type='densevit.NonFiniteLossHook', max_skipped=1), dict(type='EMAHook')]


def test_steps_are_skipped_and_counted_by_option(tmp_path):
    last = load(toy_run(tmp_path, custom_hooks=SKIP, **{'model.broken': (1, 4)}) / 'iter_6.pth')
    assert not non_finite(last['state_dict']) and last['message_hub']['runtime_info']['skipped_steps'] == 2
    assert last['optimizer']['state'][1]['step'] == 4


def test_more_in_a_row_than_the_option_allows(tmp_path):
    with pytest.raises(NonFiniteLossError, match='at iteration 5 .2 times in a row'):
        toy_run(tmp_path, custom_hooks=SKIP, **{'model.broken': (1, 3, 4)})


def test_all_processes_leave_a_step_out_where_one_has_to(tmp_path, monkeypatch):
    monkeypatch.setattr(guards, 'any_process', lambda flag: True)
    with pytest.raises(NonFiniteLossError, match='iteration 1'):
        toy_run(tmp_path)


@OPTIM_WRAPPERS.register_module(force=True)
class ScaledOnCPU(OptimWrapper):
    """mmengine's AmpOptimWrapper, which asserts a GPU."""

    def __init__(self, init_scale, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=init_scale, growth_interval=1000)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


@pytest.mark.parametrize('fused', [False, True])
def test_a_loss_scaler_skips_by_itself(tmp_path, fused):
    scaled = {'optim_wrapper.type': 'ScaledOnCPU', 'optim_wrapper.optimizer.fused': fused}
    last = load(toy_run(tmp_path / 'a', **scaled, **{'model.broken': (1, 4), 'optim_wrapper.init_scale': 4.})
                / 'iter_6.pth')
    assert not non_finite(last['state_dict'])
    with pytest.raises(NonFiniteLossError, match='even with a loss scale below'):
        toy_run(tmp_path / 'b', **scaled, **{'model.broken': (1, 4), 'optim_wrapper.init_scale': 1.5e-4})


@pytest.mark.parametrize('averaged', [False, True])
def test_weights_that_a_step_made_infinite_are_not_saved(tmp_path, averaged):
    """A finite gradient and a rate so large that the weights overflow, in the last iteration."""
    hooks = [dict(type='densevit.NonFiniteLossHook'), *([dict(type='EMAHook')] if averaged else [])]
    fast = dict(custom_keys=dict(spare=dict(lr_mult=1e31)))
    with pytest.raises(NonFiniteWeightsError, match='spare.*iter_4.pth with --resume'):
        toy_run(tmp_path, custom_hooks=hooks, param_scheduler=None, **{
            'model.steep': (5, ), 'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=.1),
            'optim_wrapper.paramwise_cfg': fast})
    assert names(tmp_path) == ['iter_2.pth', 'iter_4.pth']
