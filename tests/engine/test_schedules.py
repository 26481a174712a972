"""The schedule of learning rates against EoMT's published recipe."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from densevit.engine import TwoStageWarmupPolyLR


def optimizer(stages=('head', 'backbone')):
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=1., stage=stage) for stage in stages]
    return torch.optim.SGD(groups, lr=1.)


def test_two_stage_warm_up_polynomial():
    sgd = optimizer()
    scheduler = TwoStageWarmupPolyLR(sgd, head_warmup=500, backbone_warmup=1000, end=20_000, by_epoch=False)
    expected = {
        0: (0., 0.),
        250: (.5, 0.),
        500: (1., 0.),
        1000: (1. - 500 / 19_500, .5),
        1500: (1. - 1000 / 19_500, 1.),
        10_000: (1. - 9500 / 19_500, 1. - 8500 / 18_500),
    }
    for step in range(10_001):
        if step in expected:
            head, backbone = expected[step]
            power = [head if step <= 500 else head**.9, backbone if step <= 1500 else backbone**.9]
            assert [group['lr'] for group in sgd.param_groups] == pytest.approx(power, abs=1e-12), step
        sgd.step()
        scheduler.step()


def test_two_stage_warm_up_continues_from_its_state():
    first, second = optimizer(), optimizer()
    schedulers = [TwoStageWarmupPolyLR(sgd, head_warmup=3, backbone_warmup=4, end=20, by_epoch=False)
                  for sgd in (first, second)]
    for _ in range(7):
        first.step()
        schedulers[0].step()
    second.load_state_dict(first.state_dict())
    schedulers[1].load_state_dict(schedulers[0].state_dict())
    for _ in range(5):
        for sgd, scheduler in zip((first, second), schedulers, strict=True):
            sgd.step()
            scheduler.step()
        assert [group['lr'] for group in first.param_groups] == [group['lr'] for group in second.param_groups]
