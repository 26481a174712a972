"""Every depth network: sizes, freezing, saving, a training step, torch.compile and torch.export."""
from functools import partial

import pytest
import torch
from networks.base import (
    SIZES,
    Row,
    check_any_size,
    check_compiles,
    check_every_parameter_learns,
    check_exports,
    check_frozen,
    check_saved_and_loaded,
    images_of,
    pyramid,
    vit,
)

from densevit.networks import depth
from densevit.networks.depth import DepthNetwork

LEVELS = partial(vit, depth=4, out_indices=(0, 1, 2, 3))
BINS = dict(bins=dict(num_bins=6), max_depth=10.)
DIRECT = dict(bins=None, max_depth=None)  # the mean of bins loses the digits of its large random channels
ROWS = {
    'DPTDepth': Row(LEVELS, dict(channels=(8, 12, 16, 20), width=16, hidden_dim=8, sky=True, **BINS), DIRECT),
    'DPTDepth of a pyramid': Row(
        pyramid, dict(width=16, hidden_dim=8, **BINS), compiles='the ViT is', exports='the ViT is'),
    'DPTDepth of large kernels': Row(LEVELS, dict(channels=(8, 12, 16, 20), width=16, hidden_dim=8, unit='large_kernel',
                                                  activation='disparity', min_depth=.1, max_depth=100.)),
    'LinearDepth': Row(LEVELS, BINS, DIRECT),
    'PolyMaXDepth': Row(LEVELS, dict(channels=(8, 12, 16, 20), width=16, num_queries=6, embed_dim=16, num_layers=4,
                                     num_heads=2, ffn_dim=16, max_depth=10.)),
}
CLASSES = {name: cls for name in depth.__all__ if isinstance(cls := getattr(depth, name), type)
           and issubclass(cls, DepthNetwork) and cls is not DepthNetwork}


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


def build(name, **options):
    return ROWS[name].build(CLASSES[name.partition(' ')[0]], **options)


def learn(network, sky=True):
    answer = network(images_of((64, 96)))
    assert answer.depth.dtype == torch.float32
    where = torch.zeros(len(answer.depth), 64, 96)
    losses = network.loss_class(kind=network.kind)(answer, where + 1, where if sky else None)
    sum(losses.values()).backward()


def test_every_network_has_a_row():
    assert CLASSES.keys() == {name.partition(' ')[0] for name in ROWS}


def test_any_size(name):
    check_any_size(build(name))


def test_a_frozen_backbone_and_a_head_that_learns(name):
    check_frozen(build(name, frozen_stages=1), learn)


def test_every_parameter_learns(name):
    check_every_parameter_learns(build(name), learn, ROWS[name].still)


def test_every_parameter_is_reached_without_sky(name):
    """No data set of depth here has it, and distributed training waits for every parameter."""
    network = build(name).train()
    learn(network, sky=False)
    assert not [key for key, parameter in network.named_parameters() if parameter.grad is None]


def test_saved_and_loaded(name):
    check_saved_and_loaded(build(name), build(name, seed=1))


@torch.no_grad()
def test_depth_keeps_its_digits_in_half_precision(name):
    """Under autocast, and of a network that is half-precision itself."""
    network = build(name).eval()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = network(images_of(SIZES[0])).depth
    half = network.bfloat16()(images_of(SIZES[0]).bfloat16()).depth
    for maps in (mixed, half):
        assert maps.dtype == torch.float32 and maps.isfinite().all()
        assert not torch.equal(maps, maps.bfloat16().float())


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.compiles is True])
def test_compiles_as_one_graph_for_all_sizes(name):
    check_compiles(build(name, traced=True))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.exports is True])
def test_exports_for_all_sizes(name):
    check_exports(build(name, traced=True))
