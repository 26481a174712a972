"""Window Attention is Bugged (arXiv:2311.05613): positions stretched over an image, and positions that fit its windows.

An image made of four copies of one shows the bug: whatever is said of the copies should be the same, for no block looks
out of its window.
"""
import pytest
import torch
from trunk_families import TINY, build

from densevit.backbones import PlainViT
from densevit.layers import tile_pos_embed

# Learned positions alone; with rotary ones; with decomposed relative ones.
LEARNED = ('AugReg', 'DINOv2 with registers', 'EVA-02', 'PE core', 'SAM')
SIDE = 4


def all_windows(family, pos_embed, **kwargs):
    """A model whose windows are as large as the images that its positions were learned on."""
    if family == 'SAM':
        kwargs['global_attn_indexes'] = ()
    model = build(family, window_size=SIDE, pos_embed=pos_embed, pos_embed_grid=SIDE, **kwargs)
    # Patches and positions of about the same size, as in a trained model, and no bias that outshines both.
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):
            parameter.data.zero_()
    model.trunk.patch_embed.proj.weight.data.mul_(.05)
    return model


def four_copies(model):
    size = (2, 3, SIDE * model.stride, SIDE * model.stride)
    image = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return image, torch.cat((torch.cat((image, image), dim=3), ) * 2, dim=2)


def quarters(features):
    return [part for half in features.split(SIDE, dim=2) for part in half.split(SIDE, dim=3)]


@pytest.mark.parametrize('family', LEARNED)
@torch.no_grad()
def test_four_copies_of_an_image_give_four_copies_of_its_features(family):
    for pos_embed in ['tile', 'absolute_window']:
        model = all_windows(family, pos_embed)
        if pos_embed == 'absolute_window':
            model.trunk.global_pos_embed.zero_()  # as it is before it has learned
        image, copies = four_copies(model)
        alone, = model(image)
        for quarter in quarters(model(copies)[0]):
            assert (quarter - alone).abs().max() <= 1e-5 * alone.abs().max()


@torch.no_grad()
def test_the_bug__stretched_positions_give_other_features():
    for family in LEARNED:
        model = all_windows(family, 'interpolate')
        image, copies = four_copies(model)
        alone, = model(image)
        errors = [((quarter - alone).norm() / alone.norm()).item() for quarter in quarters(model(copies)[0])]
        assert min(errors) > .5


@torch.no_grad()
def test_rotary_and_relative_positions_are_those_of_the_window():
    """These trunks learn no positions at their input, so that there is nothing to tile."""
    for family in ['DINOv3', 'mixed rotary', 'BEiT']:
        model = build(family, window_size=SIDE)
        image, copies = four_copies(model)
        alone, = model(image)
        for quarter in quarters(model(copies)[0]):
            assert (quarter - alone).abs().max() <= 1e-5 * alone.abs().max()


@torch.no_grad()
def test_an_image_of_the_windows_size_is_that_of_the_plain_model():
    """Positions are used as they were learned, whatever is done with them on larger images."""
    for family in LEARNED:
        interpolated, tiled = all_windows(family, 'interpolate'), all_windows(family, 'tile')
        image, _ = four_copies(interpolated)
        tiled.load_state_dict(interpolated.state_dict())
        torch.testing.assert_close(tiled(image)[0], interpolated(image)[0])


@torch.no_grad()
def test_the_global_part_is_stretched_over_the_image():
    model = all_windows('AugReg', 'absolute_window', global_pos_grid=(2, 3), keep_prefix=False)
    assert model.trunk.global_pos_embed.shape == (1, 32, 2, 3)
    images = torch.zeros(1, 3, 7 * 16, 9 * 16)
    added = model.embed(images).feature_map() - model.trunk.patch_embed(images).permute(0, 3, 1, 2)
    window = model.trunk.pos_embed.transpose(1, 2).unflatten(2, (SIDE, SIDE))
    stretched = torch.nn.functional.interpolate(
        model.trunk.global_pos_embed, (7, 9), mode='bicubic', antialias=True)
    torch.testing.assert_close(added, tile_pos_embed(window, (7, 9)) + stretched, rtol=1e-4, atol=1e-5)


def test_both_parts_learn_and_the_global_one_starts_at_zero():
    model = PlainViT(img_size=64, window_size=SIDE, pos_embed='absolute_window', global_blocks=(1, ), **TINY)
    assert model.trunk.global_pos_embed.shape == (1, 32, 7, 7) and not model.trunk.global_pos_embed.any()
    model(torch.randn(1, 3, 80, 112))[0].square().sum().backward()
    assert model.trunk.pos_embed.grad.any() and model.trunk.global_pos_embed.grad.any()
    assert model.layer_index('trunk.global_pos_embed') == 0


def test_positions_are_resized_once_to_their_grid():
    """Not to the size of the images first."""
    for name in ['vit_small_patch16_224', 'vit_small_patch14_dinov2', 'samvit_base_patch16']:
        model = PlainViT(name, img_size=1024 // 16 * 14, pos_embed_grid=(4, 6), **TINY)
        assert tuple(model.trunk.patch_embed.grid_size) == (4, 6)
        assert model.trunk.pos_embed.flatten(1, -2).shape[1] == 24 + model.num_prefix_tokens
        assert model(torch.randn(1, 3, 50, 60))[0].isfinite().all()


def test_wrong_positions_are_explained():
    def refuse(match, name='vit_small_patch16_224', **kwargs):
        with pytest.raises(ValueError, match=match):
            PlainViT(name, **{**TINY, **kwargs})

    refuse('one window, 8x8, and the trunk stores 14x14; set pos_embed_grid=8', window_size=8, pos_embed='tile')
    refuse('tools/convert_pos_embed.py --window 8', window_size=8, pos_embed='absolute_window')
    refuse('repeats the positions of a window; set window_size', pos_embed='tile')
    refuse("global_pos_grid belongs to pos_embed='absolute_window'", window_size=14, global_pos_grid=7)
    refuse('the trunk has no learned positions', 'vit_small_patch16_dinov3', window_size=4, pos_embed='tile')
    refuse('pos_embed_grid: the trunk has no learned positions', 'vit_small_patch16_dinov3', pos_embed_grid=4)
    refuse("pos_embed is 'interpolate', 'tile' or 'absolute_window', not 'tiled'", window_size=14, pos_embed='tiled')
