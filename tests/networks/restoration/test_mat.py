"""MAT: attention by hand, which tokens become valid, and that nothing follows from what is hidden."""
import math

import pytest
import torch
from randomised import randomise

from densevit.networks.restoration import MAT
from densevit.networks.restoration.mat import ContextualAttention, pyramid_fill

SMALL = dict(dim=16, widths=(4, 6, 8), depths=(1, 2, 1, 2, 1), num_heads=2, window_sizes=(2, 4, 2, 3, 2))


def build(**options):
    """As it is before training, but for a last layer that would give nothing."""
    torch.manual_seed(0)
    network = MAT(**{**SMALL, **options}).eval()
    torch.nn.init.normal_(network.conv_last.weight, std=.1)
    return network


def image_with_hole(size=(45, 70), count=2, channels=3):
    """The hole of the second image is all of its left half."""
    images = torch.rand(count, channels + 1, *size, generator=torch.Generator().manual_seed(0))
    images[:, -1] = 1
    images[:, -1, 5:30, 10:40] = 0
    images[1:, -1, :, :size[1] // 2] = 0
    return images


def attended_by_hand(attention, x, valid):
    """Token by token; those that share a window are neighbours of the map."""
    height, width, dim = x.shape
    heads, side, shift = attention.num_heads, attention.window_size, attention.shift
    q, k, v = attention.qkv(x).view(height, width, 3, heads, dim // heads).unbind(2)
    places = [(row, column) for row in range(height) for column in range(width)]
    found, now_valid = torch.empty_like(x), torch.empty_like(valid)
    for row, column in places:
        window = [place for place in places if all(
            (a + shift) // side == (b + shift) // side for a, b in zip(place, (row, column), strict=True))]
        parts = []
        for head in range(heads):
            logits = torch.stack([(q[row, column, head] @ k[place][head] + (0. if valid[place] else -100.))
                                  / math.sqrt(dim // heads) for place in window])
            parts.append(logits.softmax(0) @ torch.stack([v[place][head] for place in window]))
        found[row, column] = torch.cat(parts)
        now_valid[row, column] = any(valid[place] for place in window)
    return attention.proj(found), now_valid


@pytest.mark.parametrize('size', [(8, 8), (5, 7), (1, 3)])
@pytest.mark.parametrize(('window_size', 'shift'), [(4, 0), (4, 2), (3, 1)])
@torch.no_grad()
def test_attention_is_that_of_a_loop_over_tokens(size, window_size, shift):
    """In double precision; some windows have no valid token, and there all tokens count alike."""
    attention = randomise(ContextualAttention(12, 3, window_size, shift)).double()
    x = torch.randn(2, *size, 12, dtype=torch.double)
    valid = torch.rand(2, *size, 1) > .6
    valid[0, :4, :4] = False
    found, now_valid = attention(x, valid)
    for index in range(2):
        expected, expected_valid = attended_by_hand(attention, x[index], valid[index, ..., 0])
        torch.testing.assert_close(found[index], expected, rtol=1e-10, atol=1e-10)
        assert torch.equal(now_valid[index, ..., 0], expected_valid)


@torch.no_grad()
def test_valid_tokens_spread_by_windows():
    attention = ContextualAttention(4, 1, 4)
    valid = torch.zeros(1, 8, 8, 1, dtype=torch.bool)
    valid[0, 1, 6] = True
    x = torch.randn(1, 8, 8, 4)
    _, valid = attention(x, valid)
    assert valid[0, :4, 4:].all() and valid.sum() == 16
    _, valid = ContextualAttention(4, 1, 4, shift=2)(x, valid)  # of windows 2, 4 and 2 tokens wide
    assert valid[0, :6, 2:].all() and valid.sum() == 36
    assert not attention(x, torch.zeros_like(valid))[1].any()


@torch.no_grad()
def test_invalid_tokens_hardly_count_beside_a_valid_one():
    torch.manual_seed(0)
    attention = ContextualAttention(64, 2, 4)
    x, valid = torch.randn(1, 4, 4, 64), torch.zeros(1, 4, 4, 1, dtype=torch.bool)
    valid[0, 2, 1] = True
    other = torch.where(valid, x, torch.randn_like(x))
    # Whatever asks and whatever else there is, the answer is the value of the valid token.
    torch.testing.assert_close(attention(other, valid)[0], attention(x, valid)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize('skip', (None, 'pyramid'))
@torch.no_grad()
def test_nothing_follows_from_hidden_pixels(skip):
    """Exactly; also of what is no number. What is visible counts everywhere."""
    network, images = build(skip=skip), image_with_hole()
    expected, hidden = network(images), images[:, 3:] == 0
    for value in (torch.rand(images.shape), torch.full(images.shape, 1e30), torch.full(images.shape, math.nan)):
        changed = torch.cat((torch.where(hidden, value[:, :3], images[:, :3]), images[:, 3:]), 1)
        assert torch.equal(network(changed), expected)
    images[:, :3, :5] += .1
    assert ((network(images) - expected)[0, :, 5:30, 10:40].abs() > 1e-6).any()


@pytest.mark.parametrize('skip', (None, 'pyramid'))
@torch.no_grad()
def test_images_of_which_nothing_or_all_is_visible(skip):
    network = build(skip=skip)
    for value in (0, 1):
        images = torch.rand(1, 4, 33, 20)
        images[:, 3] = value
        assert network(images).isfinite().all()


@torch.no_grad()
def test_grey_images():
    network = build(in_channels=1)
    assert network(image_with_hole(channels=1)).shape == (2, 1, 45, 70)


@torch.no_grad()
def test_bfloat16():
    network, images = build(skip='pyramid'), image_with_hole()
    expected = network(images)
    found = network.bfloat16()(images.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().mean() < .03 * expected.std()


def test_a_network_with_a_skip_begins_as_interpolation():
    images = image_with_hole()
    found = MAT(**SMALL, skip='pyramid')(images)
    visible = images[:, 3:] > .5
    torch.testing.assert_close(found, pyramid_fill(images[:, :3], visible), rtol=0, atol=1e-6)
    assert found[~visible.expand_as(found)].std() > 0


def test_new_weights_keep_the_deviation_of_features():
    """Without norms and sums it would vanish or explode on the way through the blocks of the published size."""
    torch.manual_seed(0)
    blocks = MAT(dim=60, depths=(2, 3, 4, 3, 2), num_heads=6).body
    x, valid = torch.randn(1, 60, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool)
    for stage in blocks:
        x, valid = stage(x, valid)
        assert .3 < x.std() < 10


@pytest.mark.parametrize('size', [(40, 60), (33, 1), (1, 1), (7, 130)])
def test_interpolation_over_a_pyramid(size):
    torch.manual_seed(0)
    images, visible = torch.rand(2, 3, *size), torch.rand(2, 1, *size) > .7
    filled = pyramid_fill(images, visible)
    assert torch.equal(torch.where(visible, filled, 0.), torch.where(visible, images, 0.))
    assert filled.min() >= 0 and filled.max() <= 1
    one = torch.zeros(1, 1, *size, dtype=torch.bool)
    one[..., 0, 0] = True
    torch.testing.assert_close(pyramid_fill(images[:1], one), images[:1, :, :1, :1].expand(1, 3, *size))
    assert not pyramid_fill(images, torch.zeros_like(visible)).any()


def test_interpolation_follows_a_ramp():
    """To a tenth of its range, through a hole of 40 pixels; a mean would be wrong by a half at the sides."""
    ramp = torch.linspace(0, 1, 120).expand(1, 1, 64, 120)
    visible = torch.ones(1, 1, 64, 120, dtype=torch.bool)
    visible[..., 12:52, 40:80] = False
    assert (pyramid_fill(ramp, visible) - ramp).abs().max() < .1


def test_options_and_images_that_do_not_fit():
    for wrong, said in ((dict(depths=(1, 2)), '5 stages'), (dict(window_sizes=(4, ) * 4), '5 stages'),
                        (dict(num_heads=3), 'does not divide dim=16'), (dict(widths=(4, 8)), 'full resolution'),
                        (dict(skip='bicubic'), 'pyramid')):
        with pytest.raises(ValueError, match=said):
            MAT(**{**SMALL, **wrong})
    with pytest.raises(ValueError, match='not 3 channels'):
        build()(torch.zeros(1, 3, 16, 16))


@torch.no_grad()
def test_exports():
    """Of an image with several windows at each resolution, for all such."""
    network, dynamic = build(depths=(1, ) * 5, window_sizes=(2, ) * 5), torch.export.Dim.DYNAMIC
    program = torch.export.export(network, (image_with_hole((150, 270)), ), strict=False,
                                  dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic}, )).module()
    for size in ((300, 170), (131, 140)):
        images = image_with_hole(size, 3)
        torch.testing.assert_close(program(images), network(images), rtol=0, atol=1e-5)
