"""Checkpoints with positions of whole images become checkpoints with positions of windows."""
import pytest
import torch
from randomised import randomise
from safetensors.torch import load_file
from timm import create_model

from densevit.backbones import PlainViT
from densevit.layers import resize_pos_embed, tile_pos_embed
from densevit.weights import WeightsError, load_weights
from densevit.weights.absolute_window import (
    check_output,
    convert_hiera,
    convert_plain_vit,
    decompose_positions,
    write_converted,
)

TINY = dict(embed_dim=32, depth=2, num_heads=2)


def timm_state(name='vit_small_patch16_224', **kwargs):
    return randomise(create_model(name, num_classes=0, **TINY, **kwargs)).state_dict()


def test_positions_of_the_windows_grid_are_kept():
    state = timm_state()
    converted = convert_plain_vit(state, 14)
    assert torch.equal(converted.state['pos_embed'], state['pos_embed']) and converted.state.keys() == state.keys()
    assert 'kept' in converted.done


@pytest.mark.parametrize('name, num_prefix, side', [
    ('vit_small_patch16_224', 1, 14), ('vit_small_patch14_reg4_dinov2', 0, 37), ('deit3_small_patch16_224', 0, 14)])
def test_others_are_resized_once_to_the_window(name, num_prefix, side):
    state = timm_state(name)
    converted = convert_plain_vit(state, 8, global_grid=5)
    expected = resize_pos_embed(state['pos_embed'], (8, 8), (side, side), num_prefix)
    torch.testing.assert_close(converted.state['pos_embed'], expected)
    assert converted.state['global_pos_embed'].shape == (1, 32, 5, 5)
    assert not converted.state['global_pos_embed'].any()
    assert f'{side}x{side} tokens resized once to a window of 8x8' in converted.done


def test_a_converted_checkpoint_is_what_a_tiled_model_stores(tmp_path):
    """The same as loading the first one into it."""
    state = timm_state()
    options = dict(name='vit_small_patch16_224', window_size=8, pos_embed='absolute_window', pos_embed_grid=8,
                   global_pos_grid=5, **TINY)
    direct, converted = PlainViT(**options), PlainViT(**options)
    report = load_weights(direct, state)
    assert 'trunk.global_pos_embed' in report.zeroed and 'trunk.pos_embed' in report.resized
    file = tmp_path / 'window8.safetensors'
    write_converted(convert_plain_vit(state, 8, global_grid=5), file)
    report = load_weights(converted, file)
    assert not report.resized and not report.missing and not report.zeroed
    for name, tensor in direct.state_dict().items():
        torch.testing.assert_close(converted.state_dict()[name], tensor)


def test_positions_of_sam_and_names_under_a_prefix():
    state = {f'backbone.trunk.{name}': tensor for name, tensor in
             timm_state('samvit_base_patch16', img_size=128).items()}
    converted = convert_plain_vit(state, 14, global_grid=7).state
    assert converted['backbone.trunk.pos_embed'].shape == (1, 14, 14, 32)
    assert converted['backbone.trunk.global_pos_embed'].shape == (1, 32, 7, 7)


def test_a_sum_of_both_parts_is_decomposed_without_a_residual():
    window = torch.randn(1, 8, 8, 8)
    window = window - window.mean((2, 3), keepdim=True)
    level = torch.randn(1, 8, 1, 1)
    window_part, global_part, residual = decompose_positions(tile_pos_embed(window, (56, 56)) + level, 8, 7)
    torch.testing.assert_close(window_part, window, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(global_part, level.expand(1, 8, 7, 7), rtol=1e-4, atol=1e-5)
    assert residual < 1e-5
    *_, residual = decompose_positions(torch.randn(1, 8, 56, 56), 8, 7)
    assert residual > .5, 'noise is neither'


def test_a_hiera_is_decomposed():
    positions = torch.randn(1, 56 * 56, 8)
    converted = convert_hiera({'pos_embed': positions, 'blocks.0.norm1.bias': torch.ones(8)})
    assert converted.state['pos_embed'].shape == (1, 8, 7, 7)
    assert converted.state['pos_embed_window'].shape == (1, 8, 8, 8)
    assert 0 < converted.residual <= 1 and f'{converted.residual:.1%} of its norm is lost' in converted.done
    with pytest.raises(WeightsError, match='no pos_embed_window before it is decomposed'):
        convert_hiera(converted.state)
    with pytest.raises(WeightsError, match='do not divide into windows of 9'):
        convert_hiera({'pos_embed': positions}, window=9)


def test_what_cannot_be_converted_is_explained(tmp_path):
    state = timm_state()
    with pytest.raises(WeightsError, match='0 tensors named pos_embed'):
        convert_plain_vit(timm_state('vit_small_patch16_dinov3'), 14)
    with pytest.raises(WeightsError, match='no square grid'):
        convert_plain_vit(dict(state, pos_embed=torch.zeros(1, 1 + 14 * 15, 32)), 14)
    with pytest.raises(WeightsError, match='it was converted before'):
        convert_plain_vit(convert_plain_vit(state, 14, 7).state, 14, 7)
    existing = tmp_path / 'there.pth'
    existing.write_bytes(b'precious')
    with pytest.raises(WeightsError, match='exists and is not overwritten'):
        write_converted(convert_plain_vit(state, 14), existing)
    assert existing.read_bytes() == b'precious'
    with pytest.raises(WeightsError, match='written as .safetensors or .pth'):
        check_output(tmp_path / 'weights.bin')


def test_files_of_both_formats_are_read_again(tmp_path):
    converted = convert_plain_vit(timm_state(), 8)
    for name in ('a.pth', 'a.safetensors'):
        write_converted(converted, tmp_path / 'new' / name)
        read = torch.load if name.endswith('pth') else load_file
        state = read(tmp_path / 'new' / name)
        assert torch.equal(state['pos_embed'], converted.state['pos_embed']) and state.keys() == converted.state.keys()
