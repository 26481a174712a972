"""Hiera gives what timm's and the authors' give at their size, and takes any other."""
from __future__ import annotations

import pytest
import torch
from hiera_models import HIERA, hiera, official_state, same_tensors, wide
from official import assert_close, assert_golden, fill, write_golden
from official_hiera import hiera as official_hiera
from randomised import randomise

from densevit.backbones import Hiera
from densevit.backbones.hiera import reroll, unroll
from densevit.weights import load_weights

NATIVE = HIERA['img_size']


@pytest.mark.parametrize('kwargs', [
    {}, dict(abs_win_pos_embed=True, init_values=.5, use_expand_proj=False), dict(q_pool=2),
    dict(stages=(1, 2, 2), mask_unit_attn=(True, False, False), q_pool=1, mask_unit_size=(4, 4)),
])
@torch.no_grad()
def test_levels_equal_timms(kwargs):
    model = randomise(hiera(out_indices=range(len(kwargs.get('stages', HIERA['stages']))), **kwargs))
    images = wide(*NATIVE)
    assert_close(model(images), model.trunk.forward_intermediates(images, intermediates_only=True), 1e-5)


@torch.no_grad()
def test_levels_equal_the_recorded_ones():
    model = hiera()
    load_weights(model, official_state(model))
    assert_golden('hiera', model.eval()(wide(*NATIVE)))


@torch.no_grad()
def test_levels_equal_the_official_ones():
    sizes = {**HIERA, 'input_size': NATIVE}
    del sizes['img_size']
    official, model = official_hiera(**sizes).eval(), hiera().eval()
    state = fill(official)
    assert same_tensors(official_state(model), state)
    levels = [x.permute(0, 3, 1, 2) for x in official(wide(*NATIVE), return_intermediates=True)[1]]
    write_golden('hiera', levels)
    load_weights(model, state)
    assert_close(model(wide(*NATIVE)), levels, 1e-5)


@torch.no_grad()
def test_another_size_gives_what_a_trunk_built_for_it_gives():
    """Only positions depend on the size: absolute windows are those that timm makes at that size."""
    model = randomise(hiera(abs_win_pos_embed=True))
    other = hiera(abs_win_pos_embed=True, img_size=(128, 64)).eval()
    other.load_state_dict(model.state_dict())
    images = wide(128, 64)
    assert_close(model(images), other.trunk.forward_intermediates(images, intermediates_only=True), 1e-5)


def test_unrolled_tokens_pool_by_their_first_axis():
    x = torch.randn(2, 3, 16, 24)
    tokens = unroll(x, 2, 3)
    pooled = tokens.unflatten(1, (4, -1)).amax(1)
    torch.testing.assert_close(reroll(pooled, 2, 2, (8, 12)), torch.nn.functional.max_pool2d(x, 2))
    torch.testing.assert_close(reroll(tokens, 2, 3, (16, 24)), x)


@pytest.mark.parametrize('built, wanted', [(False, 'absolute_window'), (True, 'interpolate')])
def test_positions_in_the_other_form_than_the_trunks(built, wanted):
    model = hiera(abs_win_pos_embed=built, pos_embed=wanted, global_pos_size=(4, 6))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if 'pos_embed' in name}
    assert shapes == ({'trunk.pos_embed': (1, 16, 4, 6), 'trunk.pos_embed_win': (1, 16, 8, 8)}
                      if wanted == 'absolute_window' else {'trunk.pos_embed': (1, 16 * 24, 16)})
    assert all(p.std().item() == pytest.approx(.02, rel=.2) for p in model.parameters() if p.shape in shapes.values())


def test_published_sizes():
    """Parameters of the authors' models, 27.91 and 69.90 million, without classifier and final norm."""
    for name, channels, millions in [('hiera_tiny_224', (96, 192, 384, 768), 27.14),
                                     ('hiera_base_plus_224', (112, 224, 448, 896), 69.00)]:
        with torch.device('meta'):
            model = Hiera(name)
        assert (model.out_channels, model.strides) == (channels, (4, 8, 16, 32))
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=.01)


def test_wrong_options_are_explained():
    with pytest.raises(ValueError, match='patch_drop_rate has no meaning'):
        hiera(patch_drop_rate=.5)
    with pytest.raises(ValueError, match="pos_embed is one of 'interpolate', 'tile', 'absolute_window', not 'learned'"):
        hiera(pos_embed='learned')
    with pytest.raises(ValueError, match='mask_unit_size .* does not divide 8'):
        hiera(mask_unit_size=(16, 16))
    with pytest.raises(TypeError, match='is a HieraDet and not a Hiera'):
        Hiera('sam2_hiera_tiny')
