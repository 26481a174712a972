"""What ViT-Adapter and ViT-CoMer have in common: the contract of a backbone, any trunk, training."""
import re

import pytest
import torch
from official import assert_close
from randomised import randomise
from timm.layers import DropPath
from torch import nn

from densevit import PlainViT, ViTAdapter, ViTCoMer
from densevit.layers import DeformableAttention
from densevit.weights import load_weights

TINY = dict(embed_dim=32, depth=4, num_heads=2)
ADAPTERS = [ViTAdapter, ViTCoMer]
TRUNKS = {
    'AugReg': dict(name='vit_small_patch16_224'),
    'DeiT III': dict(name='deit3_small_patch16_224'),
    'DINOv2': dict(name='vit_small_patch14_dinov2', img_size=64, patch_size=16),
    'DINOv2 with registers': dict(name='vit_small_patch14_reg4_dinov2', img_size=64, patch_size=16),
    'DINOv3': dict(name='vit_small_patch16_dinov3', keep_prefix=True),
    'BEiT': dict(name='beit_base_patch16_224', img_size=64, keep_prefix=True),
}
adapters = pytest.mark.parametrize('cls', ADAPTERS, ids=lambda cls: cls.__name__)


def build(cls, vit=None, **kwargs):
    vit = dict(TINY, img_size=64, patch_size=16, **(vit or {})) if 'name' not in (vit or {}) else dict(TINY, **vit)
    return cls(vit, **{'conv_inplane': 8, **kwargs})


@adapters
@pytest.mark.parametrize('trunk', TRUNKS)
@torch.no_grad()
def test_any_size_and_trunk(cls, trunk):
    for windowed in [False, True]:
        windows = dict(window_size=3, global_blocks=(-1, )) if windowed else {}
        model = randomise(build(cls, dict(TRUNKS[trunk], **windows)))
        for height, width in [(64, 96), (37, 70), (5, 33)]:
            images = torch.randn(2, 3, height, width)
            maps = model(images)
            assert [tuple(x.shape) for x in maps] == [
                (2, 32, -(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
            assert all(x.isfinite().all() for x in maps)
            for alone, both in zip(model(images[:1]), maps, strict=True):
                assert (alone[0] - both[0]).abs().max() < 1e-3 * both.std()
        assert model.out_channels == (32, ) * 4
        assert model.strides == (4, 8, 16, 32)


@adapters
@torch.no_grad()
def test_padding__is_that_of_an_image_padded_with_zeros(cls):
    model = randomise(build(cls))
    image = torch.randn(1, 3, 70, 50)
    padded = torch.zeros(1, 3, 96, 64)
    padded[..., :70, :50] = image
    for cropped, whole in zip(model(image), model(padded), strict=True):
        torch.testing.assert_close(cropped, whole[..., :cropped.shape[2], :cropped.shape[3]])


@adapters
def test_gradients__reach_every_parameter(cls):
    """No parameter is unused (DistributedDataParallel); some are at zero at first, behind gates and zero weights."""
    for options in [
        dict(), dict(form='segmentation'), dict(extra_extractors=False), dict(add_vit_feature=False),
        dict(out_indices=(1, 2, 3)), dict(out_indices=(0, 2), form='segmentation'),
    ]:
        model = build(cls, **options).train()
        sum(x.square().mean() for x in model(torch.randn(2, 3, 64, 64))).backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
        model = randomise(build(cls, **options))
        sum((x * torch.randn_like(x)).sum() for x in model(torch.randn(2, 3, 64, 64))).backward()
        assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


@adapters
@torch.no_grad()
def test_out_indices__are_the_maps_of_the_whole(cls):
    """With the weights of a model that returns all four."""
    whole = randomise(build(cls))
    some = build(cls, out_indices=(1, -1)).eval()
    left = load_weights(some, whole.state_dict()).left
    assert some.strides == (8, 32) and {name.split('.')[0] for name in left} == {'spm', 'up', 'norm1', 'norm3'}
    images = torch.randn(2, 3, 40, 72)
    for a, b in zip(some(images), whole(images)[1::2], strict=True):
        torch.testing.assert_close(a, b)


def test_out_indices__of_no_map():
    for indices in [(), (1, 1), (2, 1), (4, ), (-1, 1)]:
        with pytest.raises(ValueError, match='maps 0 to 3'):
            build(ViTAdapter, out_indices=indices)


def test_gradients__of_a_vit_that_is_only_read():
    model = randomise(build(ViTAdapter, dict(TRUNKS['DINOv3']), form='segmentation', injectors=False,
                            norm_features=True))
    sum((x * torch.randn_like(x)).sum() for x in model(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


@adapters
def test_checkpointing__changes_no_gradient_and_no_statistics(cls):
    models = [build(cls, grad_checkpointing=recompute) for recompute in (False, True)]
    assert [model.vit.grad_checkpointing for model in models] == [False, True]
    images = torch.randn(2, 3, 64, 64)
    for model in models:
        randomise(model, seed=1).train()
        sum(x.sin().sum() for x in model(images)).backward()
    plain, recomputed = models
    for (name, a), (_, b) in zip(plain.named_parameters(), recomputed.named_parameters(), strict=True):
        assert (a.grad - b.grad).norm() <= 1e-4 * a.grad.norm() + 1e-4, name
    for (name, a), (_, b) in zip(plain.named_buffers(), recomputed.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def build_one_block(cls, **kwargs):
    return cls(dict(TINY, depth=1, img_size=64, patch_size=16), conv_inplane=8, extra_extractors=False, **kwargs)


@adapters
@torch.no_grad()
def test_compile__once_for_all_sizes(cls):
    torch._dynamo.reset()
    model = randomise(build_one_block(cls, out_indices=(1, )))
    compiled = torch.compile(model, backend='eager', fullgraph=True, dynamic=True)
    # oneDNN takes small convolutions only with several threads, and the compiler asks whether it would.
    with torch.backends.mkldnn.flags(enabled=False):
        compiled(torch.randn(1, 3, 64, 96))
        images = torch.randn(1, 3, 128, 64)
        with torch.compiler.set_stance('fail_on_recompile'):
            maps = compiled(images)
        assert_close(maps, model(images), share=1e-3)


def test_compile__training_at_one_size():
    """Batch norms in train mode make no break; the whole model in eval mode is in the contract's test."""
    torch._dynamo.reset()
    model = build_one_block(ViTCoMer).train()
    maps = torch.compile(model, backend='eager', fullgraph=True)(torch.randn(2, 3, 64, 64))
    sum(x.square().mean() for x in maps).backward()
    assert model.level_embed.grad.any()


@adapters
def test_frozen_vit__neither_learns_nor_freezes_the_adapter(cls):
    model = build(cls, frozen_stages=5, drop_path_rate=.1)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert model.frozen_stages == 5 and not model.vit.trunk.blocks[3].training
    model.train()
    assert frozen == [name for name, p in model.named_parameters() if not p.requires_grad]
    assert {name.split('.')[0] for name, p in model.named_parameters() if not p.requires_grad} == {'vit'}
    assert all(p.requires_grad for name, p in model.named_parameters() if not name.startswith('vit.'))
    assert not model.vit.trunk.blocks[3].training
    assert model.spm.training
    assert model.interactions[0].training


@adapters
def test_norm_eval__keeps_running_statistics(cls):
    model = build(cls, norm_eval=True).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 64, 64))
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, before[name], msg=name)


@adapters
def test_layers__the_vits_own_and_the_full_rate_for_the_rest(cls):
    model = build(cls)
    layers = {name: model.layer_index(name) for name, _ in model.named_parameters()}
    assert model.depth == 4
    assert layers['vit.trunk.patch_embed.proj.weight'] == 0
    assert layers['vit.trunk.blocks.1.norm1.weight'] == 2
    assert {layer for name, layer in layers.items() if not name.startswith('vit.')} == {5}


@adapters
def test_drop_path__feed_forward_branches_have_the_full_rate(cls):
    model = build(cls, drop_path_rate=.3)
    rates = [m.drop_prob for name, m in model.named_modules() if isinstance(m, DropPath) and 'interactions' in name]
    assert rates
    assert set(rates) == {.3}
    assert [block.drop_path1.drop_prob for block in model.vit.trunk.blocks[1:]] == pytest.approx([.1, .2, .3])


@adapters
@torch.no_grad()
def test_initial_values__as_in_the_official_code(cls):
    model = cls(dict(TINY, img_size=64, patch_size=16), conv_inplane=64)
    for name, module in model.named_modules():
        if isinstance(module, DeformableAttention):
            assert not module.sampling_offsets.weight.any()
            assert not module.attention_weights.weight.any()
            points = module.sampling_offsets.bias.view(module.num_heads, -1, module.num_points, 2)
            assert points.abs().amax((0, 1, 3)).tolist() == pytest.approx([1, 2, 3, 4])  # pixels from the reference
        if name.endswith('.fc1') and isinstance(module, nn.Linear) and 'interactions' in name:
            assert module.weight.std() == pytest.approx(.02, rel=.3)
        if name == 'spm.conv3.0':  # fan-out of 3 * 3 * 256
            assert module.weight.std() == pytest.approx((2 / 9 / 256)**.5, rel=.05)
        if name.endswith('.dwconv'):  # one channel a group
            assert module.weight.std() == pytest.approx((2 / 9)**.5, rel=.4)
    assert model.level_embed.std() == pytest.approx(1., rel=.4)
    assert all(not p.any() for name, p in model.named_parameters() if name.endswith('.gamma'))


@adapters
def test_interactions__cover_the_blocks(cls):
    assert build(cls, dict(depth=4)).block_ranges == [(0, 1), (1, 2), (2, 3), (3, 4)]
    model = cls(dict(TINY, depth=6, img_size=64, patch_size=16))
    assert [stop for _, stop in model.block_ranges] == [1, 3, 4, 6]
    assert build(cls, interaction_indexes=[[0, 2], [3, 3]]).block_ranges == [(0, 3), (3, 4)]
    for indexes in ([[0, 1], [2, 2]], [[0, 1], [1, 3]], [[1, 3]], [[0, 1], [3, 3]], [[3, 0]]):
        with pytest.raises(ValueError, match='interaction_indexes'):
            build(cls, interaction_indexes=indexes)
    assert build(cls, dict(depth=4), out_indices=2).strides == (16, )
    with pytest.raises(ValueError, match=re.escape('as [[0, 0], [1, 1], [2, 2], [3, 3]] are')):
        build(cls, interaction_indexes=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="give 4, or set form='detection'"):
        build(cls, form='segmentation', interaction_indexes=[[0, 1], [2, 3]])


@adapters
def test_errors__say_what_to_set(cls):
    with pytest.raises(ValueError, match='set patch_size=16 in vit'):
        build(cls, dict(name='vit_small_patch14_dinov2', img_size=56))
    with pytest.raises(ValueError, match='set norm_out=False in vit'):
        cls(PlainViT(**TINY, img_size=64, patch_size=16))
    with pytest.raises(ValueError, match="form='detection' or 'segmentation'"):
        build(cls, form='depth')
    with pytest.raises(ValueError, match='heads do not divide'):
        build(cls, num_heads=5)
    with pytest.raises(TypeError, match='a dict of its arguments'):
        cls('deit_small_patch16_224')
    with pytest.raises(ValueError, match='not a mmseg.VisionTransformer'):
        build(cls, dict(type='mmseg.VisionTransformer'))
    assert build(cls, dict(type='densevit.PlainViT')).depth == 4
