"""Every matting network: sizes, freezing, saving, a training step, torch.compile and torch.export."""
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
    vit,
)
from torch import nn

from densevit.networks import matting
from densevit.networks.matting import MattingNetwork

DECODER = dict(residual_blocks=(1, ), detail_channels=(6, 8, 12), fusion_channels=(12, 8, 8, 8), hidden_dim=4)


def windowed_sam(**options):
    return vit(family='sam', in_chans=4, use_rel_pos=True, window_size=3, global_blocks=(1, ), **options)


def with_class_token(**options):
    return vit(in_chans=4, window_size=3, global_blocks=(1, ), **options)


def with_stem(**options):
    stem = dict(model_name='resnet10t', out_indices=(1, 2, 3))
    return vit(in_chans=4, class_token=False, no_embed_class=True, stem=stem, stem_out=(0, 1),
               **{**options, 'patch_size': 1})


ROWS = {
    'ViTMatte': Row(windowed_sam, DECODER),
    'ViTMatte of a ViT with a class token': Row(with_class_token, DECODER, compiles='the other is',
                                                exports='the other is'),
    'ViTMatte of a ViT with a stem': Row(with_stem, DECODER, compiles='the other is', exports='the other is'),
}
CLASSES = {name: cls for name in matting.__all__ if isinstance(cls := getattr(matting, name), type)
           and issubclass(cls, MattingNetwork) and cls is not MattingNetwork}


class WithTrimap(nn.Module):
    """A network that is given a trimap made of the first colour."""

    def __init__(self, network):
        super().__init__()
        self.network, self.backbone, self.size_divisor = network, network.backbone, network.size_divisor

    def forward(self, images):
        first = images[:, :1]
        return self.network(torch.cat((images, ((first > -.5).to(first) + (first > .5).to(first)) / 2), dim=1))


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


def build(name, **options):
    network = ROWS[name].build(CLASSES[name.partition(' ')[0]], **options)
    with torch.no_grad():  # a sigmoid follows, which is not to saturate
        network.predict[3].weight.mul_(1e-4 if network.of_stem else .02)
    return WithTrimap(network)


def learn(network):
    alpha = network(images_of((64, 96)))
    assert alpha.dtype == torch.float32 and alpha.shape == (2, 64, 96)
    (alpha - .3).square().mean().backward()


def test_every_network_has_a_row():
    assert CLASSES.keys() == {name.partition(' ')[0] for name in ROWS}


def test_any_size(name):
    check_any_size(build(name))


def test_a_frozen_backbone_and_a_head_that_learns(name):
    network = build(name, frozen_stages=1).network
    check_frozen(network, lambda network: learn(WithTrimap(network)))


def test_every_parameter_learns(name):
    check_every_parameter_learns(build(name), learn, ROWS[name].still)


def test_saved_and_loaded(name):
    check_saved_and_loaded(build(name), build(name, seed=1))


@torch.no_grad()
def test_opacity_keeps_its_digits_in_half_precision(name):
    network = build(name).eval()
    with torch.autocast('cpu', torch.bfloat16):
        mixed = network(images_of(SIZES[0]))
    half = network.bfloat16()(images_of(SIZES[0]).bfloat16())
    for maps in (mixed, half):
        assert maps.dtype == torch.float32 and maps.isfinite().all()
        assert not torch.equal(maps, maps.bfloat16().float())


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.compiles is True])
def test_compiles_as_one_graph_for_all_sizes(name):
    check_compiles(build(name, traced=True))


@pytest.mark.parametrize('name', [name for name, row in ROWS.items() if row.exports is True])
def test_exports_for_all_sizes(name):
    check_exports(build(name, traced=True))
