"""HieraDet gives what SAM 2's trunk gives, and takes any image size."""
from __future__ import annotations

import math

import pytest
import torch
from hiera_models import SAM2, hiera_det, official_state, same_tensors, wide
from official import assert_close, assert_golden, fill, write_golden
from official_hiera import sam2_trunk
from randomised import randomise

from densevit.backbones import HieraDet
from densevit.weights import load_weights

GOLDEN_SIZE = (96, 160)


@pytest.mark.parametrize('kwargs', [{}, dict(init_values=.5, window_spec=(8, 4, 6, 3)), dict(q_pool=2),
                                    dict(patch_size=(8, 8))])
@torch.no_grad()
def test_levels_equal_timms(kwargs):
    for multiples in [(1, 2), (3, 5), (7, 4)]:
        model = randomise(hiera_det(**kwargs))
        whole = math.lcm(model.multiple, model.patch_stride * SAM2['window_spec'][0])  # timm needs whole windows
        images = wide(*(whole * count for count in multiples))
        assert_close(model(images), model.trunk.forward_intermediates(images, intermediates_only=True), 1e-5)


@torch.no_grad()
def test_levels_equal_the_recorded_ones():
    model = hiera_det()
    load_weights(model, official_state(model))
    assert_golden('sam2_trunk', model.eval()(wide(*GOLDEN_SIZE)))


@torch.no_grad()
def test_levels_equal_the_official_ones():
    sizes = dict(SAM2, window_pos_embed_bkg_spatial_size=(7, 7))
    official, model = sam2_trunk(**sizes).eval(), hiera_det().eval()
    state = fill(official)
    assert same_tensors(official_state(model), state)
    write_golden('sam2_trunk', official(wide(*GOLDEN_SIZE)))
    load_weights(model, state)
    for size in [GOLDEN_SIZE, (32, 224), (256, 96)]:
        assert_close(model(wide(*size)), official(wide(*size)), 1e-5)


def test_published_sizes():
    """Parameters of SAM 2's trunks, counted in the official configurations."""
    for name, channels, millions in [('sam2_hiera_tiny', (96, 192, 384, 768), 26.85),
                                     ('sam2_hiera_large', (144, 288, 576, 1152), 212.15)]:
        with torch.device('meta'):
            model = HieraDet(name)
        assert (model.out_channels, model.strides) == (channels, (4, 8, 16, 32))
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=.01)


def test_wrong_options_are_explained():
    with pytest.raises(ValueError, match='windows of 7 tokens cannot be pooled by 2'):
        hiera_det(window_spec=(7, 4, 14, 7))
    with pytest.raises(TypeError, match="timm's hiera_tiny_224 is a Hiera and not a HieraDet"):
        HieraDet('hiera_tiny_224')
    with pytest.raises(ValueError, match="timm has no model 'sam2_hiera_huge'"):
        HieraDet('sam2_hiera_huge')
    with pytest.raises(ValueError, match='pretrained=True needs the name'):
        hiera_det(pretrained=True)
    with pytest.raises(ValueError, match=r'pos_embed_grid is \(height, width\)'):
        hiera_det(pos_embed_grid=())
    assert hiera_det(pos_embed='interpolate', pos_embed_grid=56).trunk.pos_embed.shape[-2:] == (56, 56)
    with pytest.raises(ValueError, match='does not give one token a stride'):
        hiera_det(patch_padding=(2, 2), patch_kernel=(9, 9))
