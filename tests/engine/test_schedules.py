"""Schedules and optimizer groups against EoMT's published recipes."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from densevit.engine import LayerDecayConstructor, TwoStageWarmupPolyLR
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


class Trunk(nn.Module):
    """Four blocks, as a backbone shows itself to the constructor."""
    depth = 4

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 2, 3))
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))
        self.norm = nn.LayerNorm(3)

    def layer_index(self, name: str) -> int:
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1
        return 5 if name.startswith('norm') else 0


def groups(**paramwise):
    model = nn.ModuleDict(dict(backbone=Trunk(), head=nn.Linear(3, 2)))
    constructor = LayerDecayConstructor(
        dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1., weight_decay=.05)), paramwise)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in constructor.groups(model) for parameter in group['params']}


def test_layer_decay_is_that_of_the_authors():
    rates = groups(layer_decay=.8, decay_all=True)
    for block in range(4):
        assert rates[f'backbone.blocks.{block}.weight']['lr'] == pytest.approx(.8**(3 - block))
    assert rates['backbone.pos_embed']['lr'] == pytest.approx(.8**3)
    assert rates['backbone.norm.weight']['lr'] == rates['head.weight']['lr'] == 1.
    assert {group['weight_decay'] for group in rates.values()} == {.05}
    assert rates['backbone.norm.weight']['stage'] == 'backbone' and rates['head.weight']['stage'] == 'head'


def test_last_blocks_may_keep_the_full_rate():
    rates = groups(layer_decay=.8, full_lr_blocks=2, backbone_lr_mult=.1)
    assert rates['backbone.blocks.3.weight']['lr'] == rates['backbone.blocks.2.weight']['lr'] == pytest.approx(.1)
    assert rates['backbone.blocks.1.weight']['lr'] == pytest.approx(.1 * .8**2)


def test_norms_biases_and_positions_do_not_decay_by_default():
    rates = groups()
    decayed = {name for name, group in rates.items() if group['weight_decay']}
    assert decayed == {*(f'backbone.blocks.{block}.weight' for block in range(4)), 'head.weight'}


def test_unknown_paramwise_key_is_refused():
    with pytest.raises(ValueError, match="does not know paramwise_cfg.*layer_decay"):
        groups(layr_decay=.8)
