"""What ``densevit.backbones.contract.Backbone`` promises, for every backbone and adapter that is registered."""
from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import pytest
import torch
from randomised import randomise
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from densevit.backbones import Backbone
from densevit.registry import MODELS

SIZES = [(64, 96), (96, 64), (37, 75)]  # height, width
VIT = dict(embed_dim=16, depth=4, num_heads=2, patch_size=16, img_size=64)


class Row(NamedTuple):
    """A backbone with the settings that make it small, that freeze some of it, and that recompute activations."""
    type: str
    settings: dict[str, Any]
    frozen: dict[str, Any] = dict(frozen_stages=1)
    recomputed: dict[str, Any] = dict(grad_checkpointing=True)

    def build(self, **settings: Any) -> Backbone:
        """With random values everywhere, in train mode."""
        torch.manual_seed(0)
        return randomise(self.build_plainly(**settings)).train()

    def build_plainly(self, **settings: Any) -> Backbone:
        """As it initialises itself, whatever default scope another test has left behind."""
        return MODELS.build(dict(self.settings, type=f'densevit.{self.type}', **settings))


def around_vit(type: str, vit: dict[str, Any], **settings: Any) -> Row:
    """An adapter, whose ViT is frozen and recomputed."""
    return Row(type, dict(settings, vit=vit), dict(vit=dict(vit, frozen_stages=1)),
               dict(vit=dict(vit, grad_checkpointing=True)))


WINDOWS = dict(VIT, window_size=3, global_blocks=(1, 3))
SAM = dict(WINDOWS, family='sam')
HIERA = dict(embed_dim=8, num_heads=1, stages=(1, 1, 2, 1))
INTERACTING = dict(num_heads=2, conv_inplane=8)
TWICE = dict(INTERACTING, interaction_indexes=[[0, 1], [2, 3]])  # half the graph
ROWS = {
    'PlainViT': Row('PlainViT', dict(VIT, out_indices=(1, 3))),
    'PlainViT of patches of 14': Row('PlainViT', dict(
        name='vit_small_patch14_reg4_dinov2', embed_dim=16, depth=2, num_heads=2, img_size=56)),
    'PlainViT with rotary positions': Row('PlainViT', dict(
        name='vit_small_patch16_dinov3', embed_dim=16, depth=2, num_heads=2, window_size=2, global_blocks=(1, ))),
    'PlainViT with windows': Row('PlainViT', dict(
        WINDOWS, window_shift=True, pos_embed='absolute_window', pos_embed_grid=3, global_pos_grid=2)),
    'PlainViT of SAM': Row('PlainViT', SAM),
    'SimpleFeaturePyramid': around_vit('SimpleFeaturePyramid', VIT, out_channels=8),
    'SimpleFeaturePyramid of ViTDet': around_vit('SimpleFeaturePyramid', SAM, out_channels=8, top_block=True),
    'ViTAdapter': around_vit('ViTAdapter', VIT, **TWICE),
    'ViTAdapter for segmentation': around_vit('ViTAdapter', WINDOWS, form='segmentation', **INTERACTING),
    'ViTCoMer': around_vit('ViTCoMer', WINDOWS, **TWICE),
    'ViTCoMer for segmentation': around_vit('ViTCoMer', VIT, form='segmentation', mrfp_ratio=1., **INTERACTING),
    'HieraDet': Row('HieraDet', dict(HIERA, global_att_blocks=(3, ), window_spec=(8, 4, 2, 2))),
    'HieraDet with plain positions': Row('HieraDet', dict(
        HIERA, pos_embed='interpolate', pos_embed_grid=(4, 6), norm_out=True)),
    'Hiera': Row('Hiera', dict(HIERA, img_size=(64, 96))),
    'TimmPyramid of Swin': Row('TimmPyramid', dict(
        name='swin_tiny_patch4_window7_224', embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8),
        norm_out=True)),
    'TimmPyramid of ConvNeXt': Row('TimmPyramid', dict(
        name='convnext_atto', depths=(1, 1, 1, 1), dims=(16, 32, 48, 64))),
    'TimmPyramid of PVT': Row('TimmPyramid', dict(
        name='pvt_v2_b0', depths=(1, 1, 1, 1), embed_dims=(16, 32, 40, 64))),
    'TimmPyramid of ResNet': Row('TimmPyramid', dict(
        name='resnet10t', channels=(8, 16, 24, 32), out_indices=(1, 2), norm_eval=True)),  # to be recomputed
}
# Rows that are not compiled here, and where their like is.
COMPILED_ELSEWHERE = {
    'PlainViT of patches of 14': 'PlainViT',
    'PlainViT of SAM': 'backbones/test_plain_vit_windows_compiled.py',
    'SimpleFeaturePyramid of ViTDet': 'backbones/test_plain_vit_windows_compiled.py',
    'ViTAdapter for segmentation': 'ViTAdapter',
    'ViTCoMer for segmentation': 'ViTCoMer',
    'HieraDet': 'backbones/test_hiera_stages.py',
    'HieraDet with plain positions': 'backbones/test_hiera_stages.py',
    'Hiera': 'backbones/test_hiera_stages.py',
    'TimmPyramid of ConvNeXt': 'backbones/test_timm_pyramid.py',
    'TimmPyramid of PVT': 'backbones/test_timm_pyramid.py',
}


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


def random_images(size: tuple[int, int] = SIZES[0]) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def backward(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Gradients by name of a loss on all maps."""
    torch.manual_seed(0)
    sum((level * level.detach().sin()).sum() for level in model(images)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_equal(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], tolerance: float = 0.) -> None:
    for level, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(level, expected, rtol=0, atol=tolerance * expected.std().item())


def test_every_registered_backbone_has_a_row():
    MODELS.import_from_location()
    classes = {name: cls for name, cls in MODELS.module_dict.items() if isinstance(cls, type)}
    assert {name for name, cls in classes.items() if issubclass(cls, Backbone)} == {row.type for row in ROWS.values()}


@torch.no_grad()
def test_maps_are_as_declared_at_any_size(row):
    model = row.build().eval()
    assert len(model.out_channels) == len(model.strides) and model.depth >= 1
    for size in SIZES:
        maps = model(random_images(size))
        declared = [(2, channels, *(math.ceil(side / stride) for side in size))
                    for channels, stride in zip(model.out_channels, model.strides, strict=True)]
        assert isinstance(maps, tuple) and [tuple(level.shape) for level in maps] == declared
        assert all(level.isfinite().all() for level in maps)


def test_every_parameter_learns_and_recomputing_changes_no_gradient(row):
    model = row.build()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    before = [level.detach() for level in model.eval()(random_images())]
    gradients = backward(model.train(), random_images())
    names = {name for name, _ in model.named_parameters()}
    assert gradients.keys() == names
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients.values())
    recomputed = backward(row.build(**row.recomputed), random_images())
    assert gradients.keys() == recomputed.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item())
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.eval()(random_images()), strict=True))


def test_frozen_stages_and_layers_count_from_the_image(row):
    """Layer-wise learning rates know each parameter, and the stem is the slowest."""
    model = row.build(**row.frozen)
    layers = {model.layer_index(name) for name, _ in model.named_parameters()}
    assert min(layers) == 0 and max(layers) <= model.depth + 1 and len(layers) > 2
    gradients = backward(model, random_images())
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    frozen = {name for name, _ in model.named_parameters()} - trainable
    assert frozen and trainable and gradients.keys() == trainable
    part = getattr(model, 'vit', model)
    prefix = 'vit.' if hasattr(model, 'vit') else ''
    assert frozen == {prefix + name for name, _ in part.named_parameters() if (part.stage_index(name) or 0) <= 1
                      and part.stage_index(name) is not None}


@torch.no_grad()
def test_state_dict_and_copy_give_the_same_maps(row):
    model, other = row.build().eval(), row.build_plainly().eval()
    expected = model(random_images())
    assert not torch.equal(other(random_images())[0], expected[0])
    other.load_state_dict(model.state_dict())
    assert_equal(other(random_images()), expected)
    clone = copy.deepcopy(model)
    assert_equal(clone(random_images()), expected)
    next(clone.parameters()).zero_()
    assert_equal(model(random_images()), expected)


@pytest.mark.parametrize('name', [name for name in ROWS if name not in COMPILED_ELSEWHERE])
@torch.no_grad()
def test_compiles_as_one_graph(name):
    model = ROWS[name].build().eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='eager')  # what is traced, not what is made of it
    assert_equal(compiled(random_images()), model(random_images()), 1e-4)


@torch.no_grad()
def test_one_graph_serves_all_sizes():
    """Without windows; with them, each axis may hold whole windows or not."""
    model, counter = ROWS['SimpleFeaturePyramid'].build(vit=dict(VIT, depth=1)).eval(), CompileCounter()
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
    for size in ((64, 96), (96, 160), (192, 128)):
        assert_equal(compiled(random_images(size)), model(random_images(size)), 1e-4)
    assert counter.frame_count == 1
