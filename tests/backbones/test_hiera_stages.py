"""What Hiera and HieraDet have in common: levels of any image size, and what training needs."""
from __future__ import annotations

import pytest
import torch
from hiera_models import compiled_graphs, hiera, hiera_det, wide
from randomised import randomise

from densevit.backbones.hiera_positions import PositionForm, split_pos_embed
from densevit.layers import absolute_window_pos_embed, tile_pos_embed

FORMS = [(hiera_det, 'absolute_window'), (hiera_det, 'tile'), (hiera_det, 'interpolate'), (hiera, 'absolute_window'),
         (hiera, 'tile'), (hiera, 'interpolate')]
both = pytest.mark.parametrize('build', [hiera_det, hiera])


@pytest.mark.parametrize('build, pos_embed', FORMS)
@torch.no_grad()
def test_any_size_is_padded_and_the_batch_does_not_matter(build, pos_embed):
    model = randomise(build(pos_embed=pos_embed))
    for height, width in [(96, 64), (45, 101), (7, 250)]:
        images = wide(height, width, batch=3)
        levels = model(images)
        for x, channels, stride in zip(levels, (16, 32, 64, 128), (4, 8, 16, 32), strict=True):
            assert x.shape == (3, channels, -(-height // stride), -(-width // stride))
            assert x.isfinite().all()
        padded = torch.nn.functional.pad(images, (0, -width % 32, 0, -height % 32))
        for alone, whole, x in zip(model(images[1:2]), model(padded), levels, strict=True):
            torch.testing.assert_close(alone[0], x[1], rtol=1e-4, atol=1e-4 * x.std().item())
            torch.testing.assert_close(whole[..., :x.shape[-2], :x.shape[-1]], x)


def test_every_parameter_learns():
    for build, pos_embed in FORMS:
        # Without stochastic depth, which may drop a block for the whole batch; with biases and gates off zero.
        model = randomise(build(pos_embed=pos_embed, out_indices=(0, 2), norm_out=True)).train()
        levels = model(wide(45, 70))
        assert (model.out_channels, model.strides, model.depth) == ((16, 64), (4, 16), 6)
        assert [tuple(x.shape[1:]) for x in levels] == [(16, 12, 18), (64, 3, 5)]
        sum((x * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).sum() for x in levels).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@torch.no_grad()
def test_norms_are_of_each_level():
    for build in (hiera_det, hiera):
        for x in build(norm_out=True).eval()(wide(64, 96)):
            assert x.mean(1).abs().max() < 1e-5 and (x.var(1, unbiased=False) - 1).abs().max() < .01


@both
def test_frozen_stages(build):
    model = build(frozen_stages=2, norm_out=True, drop_path_rate=.5).train()
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split('.')[2] for name in learns if 'blocks' in name} == {'3', '4', '5', '6'}
    assert {name.split('.')[1] for name in learns if 'norms' in name} == {'2', '3'}
    assert not any('embed' in name for name in learns)
    assert not model.trunk.blocks[2].training and model.trunk.blocks[3].training
    assert not any(p.requires_grad for name, p in build(frozen_stages=0).named_parameters() if 'embed' in name)
    assert all(p.requires_grad for p in build().parameters())


@both
def test_layer_index_follows_the_trunk(build):
    model = build(norm_out=True, pos_embed='absolute_window')
    index = {name: model.layer_index(name) for name, _ in model.named_parameters()}
    positions = [name for name in index if 'pos_embed' in name]
    assert len(positions) == 2 and all(index[name] == 0 for name in (*positions, 'trunk.patch_embed.proj.weight'))
    assert index['trunk.blocks.0.attn.qkv.weight'] == 1 and index['trunk.blocks.6.mlp.fc1.bias'] == 7 == model.depth
    assert index['norms.0.weight'] == 8


@both
@torch.no_grad()
def test_compiles_whole_and_once_for_many_sizes(build):
    """Windows of the last stages reach over each of these grids."""
    few = dict(stages=(1, 1), q_pool=1, out_indices=(0, 1))
    model = (build(window_spec=(4, 3), global_att_blocks=(1, ), **few) if build is hiera_det
             else build(mask_unit_size=(2, 2), mask_unit_attn=(True, False), **few)).eval()
    assert compiled_graphs(model, [(60, 80), (79, 110)]) == 1


@both
def test_wrong_stages_are_explained(build):
    with pytest.raises(ValueError, match='out_indices holds 4, but there are stages 0 to 3'):
        build(out_indices=(0, 4))
    with pytest.raises(ValueError, match='at most once, finest first'):
        build(out_indices=(2, 1))
    with pytest.raises(ValueError, match='1 to 2 .stages'):
        build(out_indices=1, frozen_stages=3)
    with pytest.raises(TypeError, match='near it are .*norm_layer'):
        build(norm_layr='LN')
    with pytest.raises(ValueError, match=r'global_pos_size is \(height, width\)'):
        build(global_pos_size=7.)
    assert build(pos_embed='absolute_window', global_pos_size=5).trunk.pos_embed.shape[-2:] == (5, 5)


def test_positions_of_an_image_that_is_a_multiple_of_the_trained_one():
    """Tiled ones are those of the trained image again and again; absolute windows keep their window part."""
    embed, window = torch.randn(1, 4, 7, 7), torch.randn(1, 4, 8, 8)
    trained = absolute_window_pos_embed(window, embed, (16, 24), antialias=False)
    tiled = PositionForm('tile', (16, 24), (7, 7), (8, 8), antialias=False).at((32, 40), embed, window)
    torch.testing.assert_close(tiled, tile_pos_embed(trained, (32, 40)))
    plain = PositionForm('tile', (16, 24), (16, 24), None, antialias=False).at((32, 40), trained, None)
    torch.testing.assert_close(plain, tiled)
    whole = PositionForm('absolute_window', (16, 24), (7, 7), (8, 8), antialias=False)
    torch.testing.assert_close(whole.at((16, 24), embed, window), trained)
    assert whole.fit(embed, window)[0] is embed


def test_splitting_positions_gives_back_a_sum_of_both_parts():
    window = torch.randn(1, 4, 8, 8)
    window -= window.mean((2, 3), keepdim=True)
    cells = torch.randn(1, 4, 3, 2)
    plain = tile_pos_embed(window, (24, 16)) + cells.repeat_interleave(8, 2).repeat_interleave(8, 3)
    found, part = split_pos_embed(plain, (8, 8), (3, 2))
    torch.testing.assert_close(part, window)
    torch.testing.assert_close(found, cells)
    with pytest.raises(ValueError, match='holds no whole windows of 7x7'):
        split_pos_embed(plain, (7, 7), (3, 2))
