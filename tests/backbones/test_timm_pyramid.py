"""TimmPyramid keeps to the contract of a backbone and gives timm's own features."""
from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from randomised import randomise
from torch._dynamo.testing import CompileCounterWithBackend

from densevit import TimmPyramid

SWIN = dict(name='swin_tiny_patch4_window7_224', embed_dim=24, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
SWINV2 = SWIN | dict(name='swinv2_tiny_window8_256')
SWIN_CR = SWIN | dict(name='swinv2_cr_tiny_ns_224')
CONVNEXT = dict(name='convnext_atto', depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))
PVT = dict(name='pvt_v2_b0', depths=(1, 1, 1, 1), embed_dims=(16, 16, 32, 32), num_heads=(1, 1, 2, 2))
RESNET = dict(name='resnet10t')
MAXVIT = dict(name='test_maxvit', img_size=64)
COATNET = dict(name='test_coatnet', img_size=64)
# Families with ways of their own; all others are in docs/backbones_table.md, which its own test checks.
FREE = [RESNET, SWIN, SWINV2, SWIN_CR, CONVNEXT, PVT, MAXVIT, dict(name='mobilevitv2_050'), dict(name='tresnet_m'),
        dict(name='efficientvit_m0'), dict(name='hrnet_w18_small'), dict(name='shvit_s1'), dict(name='poolformer_s12'),
        dict(name='rdnet_tiny', growth_rates=(8, 8, 8, 8, 8, 8, 8), num_init_features=16)]
FIXED = [COATNET, dict(name='pit_ti_224', img_size=64), dict(name='mvitv2_tiny', img_size=64),
         dict(name='coat_lite_tiny', img_size=64), dict(name='levit_128s', img_size=64),
         dict(name='crossvit_tiny_240'), dict(name='gcvit_xxtiny'), dict(name='efficientformer_l1')]


def _id(options: dict) -> str:
    return options['name']


def _build(options: dict, **more) -> TimmPyramid:
    torch.manual_seed(0)
    return TimmPyramid(**{**options, **more}).eval()


@pytest.mark.parametrize('options', [*FREE, *FIXED, SWINV2 | dict(global_blocks=(-2, -1))], ids=_id)
def test_contract(options):
    """Shapes are as promised at an odd size, and all that learns has a gradient."""
    backbone = _build(options).train()
    size = (55, 50) if options in FIXED else (83, 130)
    maps = backbone(torch.randn(2, 3, *size))
    expected = [(2, channels, -(-size[0] // stride), -(-size[1] // stride))
                for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    assert list(backbone.strides) == sorted(set(backbone.strides)) and len(maps) <= 4
    sum((x * torch.randn_like(x)).sum() for x in maps).backward()
    assert [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize('options', [RESNET, CONVNEXT, PVT, MAXVIT, COATNET, dict(name='hrnet_w18_small')], ids=_id)
def test_features__are_those_of_timm(options):
    backbone = randomise(_build(options))
    reference = timm.create_model(options['name'], num_classes=0,
                                  **{key: value for key, value in options.items() if key != 'name'}).eval()
    reference.load_state_dict({**reference.state_dict(), **backbone.trunk.state_dict()})
    images = torch.randn(1, 3, 64, 64)
    expected = reference.forward_intermediates(images, intermediates_only=True)[-4:]
    for ours, theirs in zip(backbone(images), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(('options', 'padded'), [
    (CONVNEXT, (96, 64)), (SWIN, (68, 52)), (MAXVIT, (128, 64)), (dict(name='mvitv2_tiny', img_size=96), (96, 96))],
    ids=('convnext', 'swin', 'maxvit', 'mvitv2'))
def test_padding__is_what_the_family_needs(options, padded):
    """Zeros at the right and bottom, and no more of them than that."""
    backbone, images = _build(options), torch.randn(1, 3, 66, 50)
    if options['name'] == 'mvitv2_tiny':  # reads the wrong positions at other sizes than its own, without an error
        assert backbone.sizes.limit == (96, 96)
    canvas = F.pad(images, (0, padded[1] - 50, 0, padded[0] - 66))
    assert backbone.sizes.pad(images).shape[-2:] == padded
    for ours, theirs in zip(backbone(images), backbone(canvas), strict=True):
        assert torch.equal(ours, theirs[..., :ours.shape[-2], :ours.shape[-1]])


def test_padding__resnet_needs_none():
    backbone = _build(RESNET)
    images = torch.randn(1, 3, 67, 93)
    for ours, theirs in zip(backbone(images), backbone.trunk.forward_intermediates(images, intermediates_only=True)[1:],
                            strict=True):
        assert torch.equal(ours, theirs)


def test_fixed_size__larger_images_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r'img_size=\(96, 64\)'):
        _build(COATNET)(torch.zeros(1, 3, 80, 64))
    assert _build(COATNET, img_size=(96, 64))(torch.zeros(1, 3, 80, 64))[0].shape[-2:] == (20, 16)
    with pytest.raises(ValueError, match=r'img_size=\(96, 64\)'):  # whose maps are short of its images
        _build(dict(name='pit_ti_224', img_size=64))(torch.zeros(1, 3, 57, 50))
    with pytest.raises(ValueError, match='multiples of its coarsest stride, 32'):
        _build(COATNET, img_size=72)
    with pytest.raises(ValueError, match='224 x 224'):
        TimmPyramid('efficientformer_l1', img_size=256)
    with pytest.raises(ValueError, match='no other size'):
        _build(dict(name='efficientformer_l1'))(torch.zeros(1, 3, 225, 64))
    with pytest.raises(ValueError, match='no img_size'):
        TimmPyramid('resnet10t', img_size=256)


@pytest.mark.parametrize('options', [SWIN, SWINV2, SWIN_CR], ids=_id)
def test_swin__windows_of_the_last_stage_shift(options):
    """At the size of training the last stage is one window; in larger images windows exchange what they see."""
    trunk = _build(options).trunk
    blocks = (trunk.stages if hasattr(trunk, 'stages') else trunk.layers)[-1].blocks
    window = 8 if 'window8' in options['name'] else 7
    assert [tuple(block.window_size) for block in blocks] == [(window, window)] * 2
    assert [tuple(block.shift_size) for block in blocks] == [(0, 0), (window // 2, window // 2)]
    asked = _build(options, always_partition=False).trunk
    blocks = (asked.stages if hasattr(asked, 'stages') else asked.layers)[-1].blocks
    assert tuple(blocks[1].shift_size) == (0, 0)


@pytest.mark.parametrize('options', [SWIN, SWINV2, SWIN_CR], ids=_id)
def test_swin__opposite_edges_do_not_meet(options):
    """In a map of whole windows and one row more, what shifts out at the top is far from the bottom."""
    backbone = _build(options, out_indices=(0, ))
    window = 8 if 'window8' in options['name'] else 7
    images = torch.randn(1, 3, 4 * (3 * window + 1), 4 * window)
    other = images.clone()
    other[..., -4:, :] = 0
    difference = (backbone(images)[0] - backbone(other)[0]).abs().amax((0, 1, 3))
    assert difference[-1] > 0 and not difference[:window].any()


@torch.no_grad()
def test_global_blocks__see_the_whole_map_as_a_window_of_its_size():
    """Of the image that the windows were made for, whose last stage is one; and tokens of any larger one meet."""
    backbone = randomise(_build(SWINV2, out_indices=(3, )))
    other = _build(SWINV2, out_indices=(3, ), global_blocks=(-2, ))
    other.load_state_dict(backbone.state_dict())
    images = torch.randn(1, 3, 256, 256)
    torch.testing.assert_close(other(images)[0], backbone(images)[0], rtol=1e-3, atol=1e-3)
    images = torch.randn(1, 3, 64, 640)
    changed = images.clone()
    changed[..., -32:] = 0
    assert (other(images)[0] != other(changed)[0]).any(1).all()
    assert not (backbone(images)[0] != backbone(changed)[0]).any(1).all()
    with pytest.raises(ValueError, match='global_blocks are those of a Swin v2'):
        _build(RESNET, global_blocks=(0, ))
    with pytest.raises(ValueError, match='global_blocks has 8, and the model has 8 blocks'):
        _build(SWINV2, global_blocks=(8, ))


def test_levels__are_taken_and_the_rest_is_not_built():
    assert _build(SWIN, out_indices=-1).strides == (32, )
    whole, part = _build(SWIN), _build(SWIN, out_indices=(0, -2), norm_out=True)
    assert part.strides == (4, 16) and part.out_channels == (24, 96)
    assert not any('layers.3' in name or name.startswith('trunk.norm') for name in part.state_dict())
    part.trunk.load_state_dict({name: whole.trunk.state_dict()[name] for name in part.trunk.state_dict()})
    images = torch.randn(1, 3, 40, 60)
    for normed, plain in zip(part(images), whole(images)[::2], strict=True):
        assert torch.allclose(normed, F.layer_norm(plain.movedim(1, -1), plain.shape[1:2]).movedim(-1, 1), atol=1e-5)


def test_levels__that_cannot_be():
    for out_indices in [(4, ), (-6, ), (2, 1), (1, 1), (), 'all']:
        with pytest.raises(ValueError, match='out_indices'):
            _build(SWIN, out_indices=out_indices)


def test_names__that_are_not_for_it():
    for name, error, text in [
        ('vit_tiny_patch16_224', TypeError, 'densevit.PlainViT'), ('eva02_tiny_patch14_224', TypeError, '.PlainViT'),
        ('hiera_tiny_224', TypeError, 'densevit.Hiera'), ('sam2_hiera_tiny', TypeError, 'densevit.HieraDet'),
        ('inception_v3', TypeError, 'grid of strides'), ('swin_tiny_patch4_window9', ValueError, 'swin_tiny_patch4_w')]:
        with pytest.raises(error, match=text):
            TimmPyramid(name)


def test_options__that_the_model_does_not_have():
    with pytest.raises(ValueError, match='vgg11 cannot be built with drop_path_rate=0.1'):
        TimmPyramid('vgg11', drop_path_rate=.1)
    with pytest.raises(ValueError, match='leave out grad_checkpointing'):
        TimmPyramid('selecsls42', grad_checkpointing=True)


def test_checkpointing__would_count_batches_twice():
    with pytest.raises(ValueError, match='count each batch twice; keep their statistics with norm_eval=True'):
        _build(RESNET, grad_checkpointing=True)
    assert _build(RESNET, grad_checkpointing=True, norm_eval=True).trunk.grad_checkpointing
    assert _build(RESNET, grad_checkpointing=True, frozen_stages=4).trunk.grad_checkpointing


def test_frozen_stages__that_there_are_not():
    with pytest.raises(ValueError, match='frozen_stages=5: .* 1 to 4'):
        _build(RESNET, frozen_stages=5)


def test_padding__copies_no_images_that_need_none():
    images = torch.zeros(1, 3, 64, 32)
    assert _build(CONVNEXT).sizes.pad(images) is images


def test_frozen_stages_and_norm_eval():
    backbone = _build(RESNET, frozen_stages=1, norm_eval=True).train()
    learns = {name: p.requires_grad for name, p in backbone.named_parameters()}
    assert not any(value for name, value in learns.items() if name.startswith(('trunk.conv1', 'trunk.layer1')))
    assert all(value for name, value in learns.items() if name.startswith(('trunk.layer2', 'trunk.layer4')))
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))[-1].sum().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in backbone.named_buffers())
    frozen = _build(SWIN, frozen_stages=2, drop_path_rate=.5).train().trunk
    assert not frozen.layers[1].training and not frozen.patch_embed.training and frozen.layers[2].training


@pytest.mark.parametrize('options', [SWIN, CONVNEXT, RESNET, dict(name='poolformer_s12'), dict(name='rdnet_tiny')],
                         ids=_id)
def test_layers__are_counted_from_the_image(options):
    backbone = _build(options, norm_out=True)
    names = [name for name, _ in backbone.named_parameters() if name.startswith('trunk.')]
    layers = [backbone.layer_index(name) for name in names]
    assert layers[0] == 0 and set(layers) == set(range(backbone.depth + 1))
    assert [backbone.stage_index(name) for name in names] == sorted(backbone.stage_index(name) for name in names)
    assert backbone.stage_index(names[0]) == 0 and backbone.stage_index(names[-1]) == 4
    assert backbone.layer_index('norms.0.weight') == backbone.depth + 1 and backbone.stage_index('norms.0') is None


@pytest.mark.parametrize('options', [SWINV2, MAXVIT], ids=_id)
def test_compile__is_one_graph(options):
    """Two levels of the families whose windows the contract's test does not see."""
    backbone, images = _build(options, norm_out=True, out_indices=(-4, -3)), torch.randn(1, 3, 66, 50)
    torch._dynamo.reset()
    for ours, theirs in zip(torch.compile(backbone, fullgraph=True, backend='eager')(images), backbone(images),
                            strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize('options', [CONVNEXT, PVT], ids=_id)
def test_compile__serves_all_sizes(options):
    backbone, counter = _build(options), CompileCounterWithBackend('eager')
    torch._dynamo.reset()
    compiled = torch.compile(backbone, fullgraph=True, dynamic=True, backend=counter)
    for size in ((130, 97), (101, 134), (128, 115)):  # of like area: PyTorch's convolutions ask if a map is small
        images = torch.randn(1, 3, *size)
        assert all(torch.allclose(ours, theirs, atol=1e-5)
                   for ours, theirs in zip(compiled(images), backbone(images), strict=True))
    assert counter.frame_count == 1


def test_checkpointing__gives_the_same_gradient():
    gradients = []
    for grad_checkpointing in (False, True):
        backbone = _build(SWIN, grad_checkpointing=grad_checkpointing, drop_path_rate=0.).train()
        torch.manual_seed(1)
        sum(x.square().sum() for x in backbone(torch.randn(1, 3, 40, 60))).backward()
        gradients.append([p.grad for p in backbone.parameters()])
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in zip(*gradients, strict=True))
