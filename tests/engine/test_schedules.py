"""Schedules against EoMT's published recipes."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from densevit.engine import TwoStageWarmupPolyLR
from densevit.engine.annealing import annealed_probs

# Training steps and number of blocks of the authors' configs: COCO 12 and 24 epochs, ADE20K, Cityscapes.
PUBLISHED = [(88_692, 4), (177_384, 3), (39_120, 4), (19_902, 5)]


@pytest.mark.parametrize(('total', 'num_blocks'), PUBLISHED)
def test_annealing_steps_are_those_of_the_authors(total, num_blocks):
    starts = torch.linspace(total / 6, total * 4 / 6, num_blocks, dtype=torch.float64)
    for step in torch.linspace(0, total, 61, dtype=torch.float64).tolist():
        expected = [
            1. if step < start else max(0., 1. - (step - start) / (total / 6))**.9 for start in starts.tolist()]
        assert annealed_probs(step, total, num_blocks) == pytest.approx(expected, abs=1e-9)


def test_annealing_ends_with_a_sixth_of_the_run_without_masks():
    assert annealed_probs(0, 600, 4) == [1.] * 4
    assert annealed_probs(100, 600, 4)[0] == 1. and annealed_probs(101, 600, 4)[0] < 1.
    assert annealed_probs(499, 600, 4)[-1] > 0. and annealed_probs(500, 600, 4) == pytest.approx([0.] * 4)


def test_annealing_with_given_starts():
    """DINOv3 on ADE20K: the first block from step 0 to 3000, of 19 560."""
    probs = annealed_probs(1500, 19_560, 4, starts=[0., 1 / 3, 1 / 2, 2 / 3], length=3000 / 19_560)
    assert probs == pytest.approx([.5**.9, 1., 1., 1.])


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
