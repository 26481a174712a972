"""DPT for depth and linear heads against their authors' code with the same weights, or the record of it."""
import pytest
import torch
from networks.depth.official_depth import (
    CHANNELS,
    HYBRID_CHANNELS,
    MIDAS_CHANNELS,
    WIDTH,
    DepthAnything3,
    depth_anything_v2,
    dinov2_depther,
    midas,
)
from networks.depth.parity import VIT, close, compare, give
from official import assert_golden, write_golden
from randomised import randomise

from densevit import PlainViT
from densevit.networks.depth import DPTDepth, LinearDepth

LEVELS = dict(VIT, out_indices=(0, 1, 2, 3), pos_embed_antialias=False)
DINOV2 = dict(LEVELS, name='vit_small_patch14_dinov2', img_size=56, pos_embed_offset=.1)
BILINEAR = dict(LEVELS, img_size=64, norm_out=False, pos_embed_kernel='bilinear')
SMALL = dict(channels=CHANNELS, width=WIDTH)
BINS = dict(num_bins=8)


def images(size):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(size[1]))


def tamed(network):
    """Random, with a last convolution that saturates nothing: whole numbers, so that rounding changes none of them."""
    randomise(network.eval(), 2)
    last = network.predict[-1] if isinstance(network, DPTDepth) else network.predict
    values = []
    hook = last.register_forward_hook(lambda _, __, output: values.append(output))
    with torch.no_grad():
        network(images((64, 64)))
        hook.remove()
        last.weight.div_(values[0].std().log2().round().exp2())
        last.bias.fill_(1 - (values[0].mean() / values[0].std()).round())
    return network


# How ours is built, how theirs is, what it says of images, and sizes of images that it takes.
FORMS = {
    'midas_vit': (lambda: DPTDepth(PlainViT(**BILINEAR), MIDAS_CHANNELS, WIDTH, kind='relative_disparity'),
                  lambda: midas('vit'), lambda theirs, x: theirs(x), [(64, 64), (96, 160)]),
    'midas_beit': (lambda: DPTDepth(PlainViT('beit_base_patch16_224', **BILINEAR, init_values=1.), MIDAS_CHANNELS,
                                    WIDTH, kind='relative_disparity'),
                   lambda: midas('beit'), lambda theirs, x: theirs(x), [(64, 64), (96, 160)]),
    'midas_hybrid': (lambda: DPTDepth(PlainViT('vit_base_r50_s16_384', **BILINEAR | dict(out_indices=(2, 3)),
                                               stem_out=(1, 2)), HYBRID_CHANNELS, WIDTH, kind='relative_disparity'),
                     lambda: midas('hybrid'), lambda theirs, x: theirs(x), [(64, 64), (96, 160)]),
    'depth_anything_v2': (lambda: DPTDepth(PlainViT(**DINOV2), **SMALL, readout='ignore', kind='relative_disparity'),
                          depth_anything_v2, lambda theirs, x: theirs(x), [(56, 56), (70, 126)]),
    'depth_anything_3': (lambda: DPTDepth(PlainViT(**DINOV2), **SMALL, readout='ignore', kind='relative_depth',
                                          activation='exp', sky=True, sky_threshold=.3),
                         DepthAnything3, lambda theirs, x: theirs(x)[0], [(56, 56), (70, 126)]),
    'dinov2_dpt': (lambda: DPTDepth(PlainViT(**DINOV2, norm_out=False), **SMALL, doubles=True, project=True,
                                    unit_bias=False, min_depth=1e-3, max_depth=10.),
                   lambda: dinov2_depther('dpt', min_depth=1e-3, max_depth=10.),
                   lambda theirs, x: theirs.encode_decode(x, None, rescale=False)[:, 0], [(56, 56), (70, 126)]),
    'dinov2_linear': (lambda: LinearDepth(PlainViT(**DINOV2, norm_out=False), bins=BINS, max_depth=10.),
                      lambda: dinov2_depther('linear', min_depth=1e-3, max_depth=10., classify=True, n_bins=8),
                      lambda theirs, x: theirs.encode_decode(x, None, rescale=False)[:, 0], [(56, 56), (70, 126)]),
}


@pytest.mark.parametrize('name', FORMS)
def test_equals_the_authors(name):
    build, build_theirs, forward, sizes = FORMS[name]
    ours, theirs = tamed(build()), build_theirs()
    give(ours, theirs)
    # Of convolutions one behind the other, single precision leaves three digits of gradients.
    dtype = torch.float64 if name == 'midas_hybrid' else torch.float32
    for size in sizes:
        ours.zero_grad(), theirs.zero_grad()
        compare(ours.to(dtype), theirs.to(dtype), images(size).to(dtype), lambda x: forward(theirs, x))
    theirs.float()
    with torch.no_grad():
        write_golden(f'depth_{name}', [forward(theirs, images(size)) for size in sizes])


@pytest.mark.parametrize('name', FORMS)
@torch.no_grad()
def test_equals_the_record_of_the_authors(name):
    build, _, _, sizes = FORMS[name]
    ours = tamed(build())
    assert_golden(f'depth_{name}', [ours(images(size)).depth for size in sizes], share=1e-3)


@torch.no_grad()
def test_the_sky_of_depth_anything_3():
    """Ours is before the activation; theirs counts as sky what is at least 0.3 behind a relu."""
    build, build_theirs, _, _ = FORMS['depth_anything_3']
    ours, theirs = tamed(build()), build_theirs()
    give(ours, theirs)
    sky, expected = ours(images((56, 70))).sky, theirs(images((56, 70)))[1]
    close(sky.relu(), expected, 1e-4, 'sky')
    assert torch.equal(sky >= ours.sky_threshold, expected >= .3)
