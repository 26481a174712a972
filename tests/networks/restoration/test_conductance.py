"""Mask attribute conductance: what flows through layers of the change from a masked image to the whole one."""
from itertools import pairwise

import pytest
import torch
from torch import nn

from densevit.networks.restoration import ATD, CAT, HiTSR, Restormer, Swin2SR, SwinIR
from densevit.networks.restoration.conductance import chosen_layers, mask_attribute_conductance, mask_path


class Branches(nn.Module):
    """Two ways side by side behind a common layer; a third layer has no say."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.idle = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = torch.tanh(.2 * self.first(x))  # hardly bent: the sum over steps is near the integral
        return self.left(x) + self.right(x) + 0 * self.idle(x[:, :3])


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.rand(2, 3, 12, 16), torch.rand(2, 3, 12, 16) + 3  # far away: the error has no kink


@pytest.mark.parametrize('patch', (1, 3))
def test_path(pair, patch):
    """From the share that is hidden to all, in even steps; what is shown stays so."""
    maps = list(mask_path(pair[0], .5, 4, patch))
    assert [float(visible.mean()) for visible in maps] == pytest.approx([.5, .625, .75, .875, 1], abs=.03)
    assert all((after >= before).all() for before, after in pairwise(maps))
    assert not torch.equal(maps[0][0], maps[0][1])


def test_layers_of_a_cut_share_the_whole_change(pair):
    images, targets = pair
    torch.manual_seed(1)
    network = Branches().eval()

    def error(visible):
        return (network(images * visible) - targets).abs().flatten(1).mean(1)

    generator = torch.Generator().manual_seed(2)
    first, *_, last = mask_path(images, .5, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        change = error(last) - error(first)
    found = mask_attribute_conductance(network, images, targets, steps=64, generator=generator)
    assert found['first'] == pytest.approx(change.abs().mean().item(), rel=.02)
    assert found['idle'] == 0
    # Of one image the signs of the branches are known.
    one = {name: mask_attribute_conductance(network, images[:1], targets[:1], steps=64, layers=[name],
                                            generator=torch.Generator().manual_seed(2))[name]
           for name in ('first', 'left', 'right')}
    assert one['first'] == pytest.approx(min((abs(one['left'] + sign * one['right']) for sign in (1, -1)),
                                             key=lambda total: abs(total - one['first'])), rel=.01)


def test_a_linear_network_is_known_by_hand():
    """Behind an identity scaled by two, all that is shown adds twice its value to a mean error."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False)).eval()
    network[0].weight.data.fill_(2)
    images = torch.rand(1, 1, 10, 10)
    generator = torch.Generator().manual_seed(0)
    hidden = 1 - next(mask_path(images, .5, 3, generator=torch.Generator().manual_seed(0)))
    found = mask_attribute_conductance(network, images, torch.full_like(images, 9.), steps=3, generator=generator)
    assert found['0'] == pytest.approx(2 * (images * hidden).mean().item(), rel=1e-5)


class Split(nn.Module):
    """Two answers side by side, one of them within a dictionary, and a third that knows nothing of the image."""

    def __init__(self):
        super().__init__()
        self.weight, self.place = nn.Parameter(torch.tensor([2., 3.])), nn.Linear(2, 1)

    def forward(self, x):
        return self.weight[0] * x, dict(other=self.weight[1] * x), self.place(torch.ones(5, 2))


class Sum(nn.Module):

    def __init__(self):
        super().__init__()
        self.split = Split()

    def forward(self, x):
        one, more, place = self.split(x)
        return one + more['other'] + place.sum()


def test_all_answers_of_a_layer_count_and_none_that_knows_nothing_of_the_image():
    network = Sum().eval()
    network.split.place.weight.requires_grad_(False)
    images = torch.rand(3, 1, 10, 10)
    shown = 1 - next(mask_path(images, .5, 3, generator=torch.Generator().manual_seed(0)))
    found = mask_attribute_conductance(network, images, torch.full_like(images, 99.), steps=3,
                                       generator=torch.Generator().manual_seed(0))
    assert found == {'split': pytest.approx(5 * (images * shown).mean().item(), rel=1e-5)}
    assert [parameter.requires_grad for parameter in network.parameters()] == [True, False, True]


SMALL = dict(scale=1, embed_dim=16, depths=(2, ), num_heads=2, upsampler=None)


@pytest.mark.parametrize(('cls', 'options', 'needed', 'without'), [
    (Swin2SR, dict(SMALL, window_size=4), ('attn.qkv', 'attn', 'attn.proj'), 'cpb_mlp'),
    (ATD, dict(SMALL, window_size=4, category_size=24, num_tokens=8, reduced_dim=4),
     ('layers.0', 'attn_atd', 'attn_aca', 'wqkv'), None),
    (CAT, dict(SMALL, embed_dim=32, short_sides=2, long_side=4), ('qkv', 'get_v'), '.pos.'),
    (HiTSR, dict(SMALL, window_size=4, window_ratios=(1, 2)), ('qv.linear', 'spatial_linear'), '.pos.'),
    (Restormer, dict(dim=8, num_blocks=(1, ) * 4, num_refinement_blocks=1), ('qkv', 'attn', 'ffn.dwconv'), None)])
def test_every_layer_that_images_flow_through_has_a_figure(pair, cls, options, needed, without):
    """Of two images: also layers that give tuples or are not called by the usual way, and none that tells of places."""
    torch.manual_seed(0)
    network = cls(**options).eval()
    found = mask_attribute_conductance(network, *pair, steps=2)
    for end in needed:
        figures = [value for name, value in found.items() if f'.{name}'.endswith(f'.{end}')]
        assert figures and all(value > 0 for value in figures), end
    owners = {name.rpartition('.')[0] for name, _ in network.named_parameters()}
    # The first layer of a group of ATD reads a dictionary that no image has changed.
    left = {name for name in owners - set(found) if not name.endswith(('0.attn_atd.wk', '0.attn_atd.wv'))}
    assert all(without in f'{name}.' for name in left) if without else not left
    assert not any(without in f'{name}.' for name in found if without)


def test_of_swinir(pair):
    """Every layer has a figure, windows and all, and parameters are left as they were."""
    network = SwinIR(embed_dim=8, depths=(2, ), num_heads=2, window_size=4).eval()
    found = mask_attribute_conductance(network, *pair, steps=2)
    assert 'layers.0.residual_group.blocks.1.attn.qkv' in found and 'conv_first' in found
    assert all(value == value for value in found.values()) and sum(value > 0 for value in found.values()) > 10
    assert all(parameter.grad is None for parameter in network.parameters())
    chosen = chosen_layers(found, .25)
    assert len(chosen) == round(.25 * len(found)) and chosen == [name for name in found if name in chosen]
    assert min(found[name] for name in chosen) >= max(value for name, value in found.items() if name not in chosen)
    for call, said in ((lambda: chosen_layers(found, 0), 'share=0'),
                       (lambda: mask_attribute_conductance(network.train(), *pair), 'eval'),
                       (lambda: mask_attribute_conductance(network.eval(), *pair, steps=0), 'steps=0')):
        with pytest.raises(ValueError, match=said):
            call()
