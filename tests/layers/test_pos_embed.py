"""Position embeddings and patch kernels at other sizes."""
import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed

from densevit.layers import (
    absolute_window_pos_embed,
    resize_patch_embed,
    resize_pos_embed,
    resize_pos_map,
    tile_pos_embed,
)


def test_matches_timm_with_prefix_tokens():
    pos_embed = torch.randn(1, 1 + 7 * 7, 8)
    expected = resample_abs_pos_embed(pos_embed, [5, 11], num_prefix_tokens=1)
    torch.testing.assert_close(resize_pos_embed(pos_embed, (5, 11), num_prefix_tokens=1), expected, rtol=0, atol=1e-6)


def test_antialias_changes_the_kernel_even_when_upsampling():
    pos_embed = torch.randn(1, 14 * 14, 8)
    smooth = resize_pos_embed(pos_embed, (20, 30))
    sharp = resize_pos_embed(pos_embed, (20, 30), antialias=False)
    assert (smooth - sharp).norm() / sharp.norm() > .02


def test_interpolate_offset_is_dinov2s_scale_factor():
    pos_embed = torch.randn(1, 6 * 6, 8)
    maps = pos_embed.reshape(1, 6, 6, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(maps, scale_factor=(9.1 / 6, 4.1 / 6), mode='bicubic')
    assert expected.shape[-2:] == (9, 4)
    actual = resize_pos_embed(pos_embed, (9, 4), antialias=False, interpolate_offset=.1)
    torch.testing.assert_close(actual, expected.permute(0, 2, 3, 1).flatten(1, 2))


def test_bilinear_as_in_dpt():
    pos_embed = torch.randn(1, 1 + 6 * 6, 8)
    maps = pos_embed[:, 1:].reshape(1, 6, 6, 8).permute(0, 3, 1, 2)
    expected = F.interpolate(maps, (9, 4), mode='bilinear').permute(0, 2, 3, 1).flatten(1, 2)
    actual = resize_pos_embed(pos_embed, (9, 4), num_prefix_tokens=1, antialias=False, kernel='bilinear')
    torch.testing.assert_close(actual, torch.cat((pos_embed[:, :1], expected), 1))


@pytest.mark.parametrize('kernel', ['bicubic', 'bilinear'])
def test_compiled_resizing_is_the_same(kernel):
    """Larger and smaller, and the stored grid, which an offset does not move."""
    for antialias in [True, False]:
        for offset in [0., .1]:
            pos_embed = torch.randn(1, 1 + 14 * 9, 8, requires_grad=True)
            options = dict(old_grid=(14, 9), num_prefix_tokens=1, antialias=antialias, interpolate_offset=offset,
                           kernel=kernel)
            torch._dynamo.reset()
            compiled = torch.compile(resize_pos_embed, fullgraph=True, backend='eager')
            for grid in ((5, 20), (33, 4), (14, 9)):
                results = [resize(pos_embed, grid, **options) for resize in (resize_pos_embed, compiled)]
                torch.testing.assert_close(*results, rtol=0, atol=2e-5)
                direction = torch.randn_like(results[0])
                gradients = [torch.autograd.grad(result, pos_embed, direction)[0] for result in results]
                torch.testing.assert_close(*gradients, rtol=0, atol=5e-5)


def test_same_grid_is_untouched_and_a_wrong_grid_is_named():
    pos_embed = torch.randn(1, 4 * 6, 8)
    assert resize_pos_embed(pos_embed, (4, 6), (4, 6)) is pos_embed
    with pytest.raises(ValueError, match='24 patches does not fill a grid of 5x5'):
        resize_pos_embed(pos_embed, (8, 8))


def test_pinv_keeps_the_token_of_a_resized_patch_and_bilinear_scales_it():
    """A smooth 14-pixel patch and its 16-pixel version give one token with the pseudo-inverse kernel."""
    torch.manual_seed(0)
    kernel = torch.randn(32, 3, 14, 14)
    smooth = F.interpolate(torch.randn(4, 3, 4, 4), size=(14, 14), mode='bicubic')
    token = torch.einsum('dchw,bchw->bd', kernel, smooth)
    larger = F.interpolate(smooth, size=(16, 16), mode='bicubic', antialias=True)

    def error(method):
        return (torch.einsum('dchw,bchw->bd', resize_patch_embed(kernel, (16, 16), method), larger) -
                token).norm() / token.norm()

    assert error('pinv') < .01
    assert error('bilinear') > .1
    with pytest.raises(ValueError, match='unknown method'):
        resize_patch_embed(kernel, (16, 16), 'nearest')


def test_tiled_positions_repeat_and_are_cut():
    window = torch.randn(1, 8, 3, 4)
    tiled = tile_pos_embed(window, (7, 6))
    assert tiled.shape == (1, 8, 7, 6)
    for row in range(7):
        for column in range(6):
            assert torch.equal(tiled[..., row, column], window[..., row % 3, column % 4])
    assert torch.equal(tile_pos_embed(window, (2, 3)), window[..., :2, :3])


def test_absolute_window_equals_timms_hiera():
    """At a grid of whole windows, which is all that timm takes."""
    hiera = timm.create_model('hiera_small_abswin_256', img_size=128, num_classes=0)
    for parameter in (hiera.pos_embed, hiera.pos_embed_win):
        torch.nn.init.normal_(parameter)
    grid = (128 // 4, 128 // 4)
    expected = hiera._pos_embed(torch.zeros(1, grid[0] * grid[1], hiera.pos_embed.shape[1]))
    embed = absolute_window_pos_embed(hiera.pos_embed_win, hiera.pos_embed, grid)
    torch.testing.assert_close(embed.flatten(2).transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_both_parts_of_absolute_window_get_gradients():
    window, stretched = torch.randn(1, 4, 2, 2, requires_grad=True), torch.zeros(1, 4, 3, 3, requires_grad=True)
    absolute_window_pos_embed(window, stretched, (5, 7), antialias=False).square().sum().backward()
    assert window.grad.any() and stretched.grad.any()


def test_positions_as_a_map_are_resized_as_those_in_a_sequence():
    embed = torch.randn(1, 8, 14, 14)
    assert resize_pos_map(embed, (14, 14)) is embed
    expected = resize_pos_embed(embed.flatten(2).transpose(1, 2), (8, 9), antialias=False)
    actual = resize_pos_map(embed, (8, 9), antialias=False)
    torch.testing.assert_close(actual.flatten(2).transpose(1, 2), expected)


def test_half_precision():
    """PyTorch has no bicubic kernel with antialias for it on a CPU."""
    for dtype in [torch.bfloat16, torch.float16]:
        window, stretched = torch.randn(1, 4, 2, 2).to(dtype), torch.randn(1, 4, 3, 3).to(dtype)
        embed = absolute_window_pos_embed(window, stretched, (5, 7))
        assert embed.dtype == dtype
        expected = absolute_window_pos_embed(window.float(), stretched.float(), (5, 7))
        torch.testing.assert_close(embed.float(), expected, rtol=.02, atol=.02)
