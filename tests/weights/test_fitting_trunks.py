"""Checkpoints of whole trunks for trunks that were told to do without a part, or that store other positions."""
import pytest
import torch
from randomised import randomise
from timm import create_model
from timm.layers import resize_rel_pos_bias_table

from densevit.backbones import PlainViT
from densevit.layers import resize_pos_embed
from densevit.weights import WeightsError, load_weights

TINY = dict(embed_dim=32, depth=2, num_heads=2)
BEIT = dict(img_size=112, init_values=1.)


def timm_state(name, **kwargs):
    return randomise(create_model(name, num_classes=0, **TINY, **kwargs)).state_dict()


@pytest.mark.parametrize('name', [
    'vit_small_patch16_224', 'vit_small_patch14_reg4_dinov2', 'vit_small_patch16_dinov3'])
def test_without_prefix_and_norm(name):
    state = timm_state(name)
    model = PlainViT(name, keep_prefix=False, norm_out=False, **TINY)
    report = load_weights(model, state)
    assert 'trunk.cls_token' in report.left and not report.missing and not report.zeroed
    own = model.trunk.state_dict()
    if 'pos_embed' in own:
        assert torch.equal(own['pos_embed'], state['pos_embed'][:, -own['pos_embed'].shape[1]:])
    for key in own.keys() - {'pos_embed'}:
        assert torch.equal(own[key], state[key])


def test_a_class_token_that_is_kept_is_missed():
    state = timm_state('vit_small_patch16_224')
    del state['cls_token']
    with pytest.raises(WeightsError, match='only in the model: trunk.cls_token'):
        load_weights(PlainViT('vit_small_patch16_224', **TINY), state)


def test_a_plain_vits_positions_for_a_sam_trunk():
    state = timm_state('vit_base_patch16_224.mae')
    model = PlainViT(family='sam', img_size=512, use_rel_pos=False, window_size=8, pos_embed_grid=8, pos_embed='tile',
                     **TINY)
    report = load_weights(model, state)
    assert report.resized == {'trunk.pos_embed': ((1, 196, 32), (1, 8, 8, 32))}
    expected = resize_pos_embed(state['pos_embed'][:, 1:], (8, 8), (14, 14))
    torch.testing.assert_close(model.trunk.pos_embed.flatten(1, 2), expected)


def test_a_tiled_trunk_resizes_once_to_its_window():
    state = timm_state('vit_small_patch14_reg4_dinov2')  # 37x37
    model = PlainViT('vit_small_patch14_reg4_dinov2', window_size=8, pos_embed='tile', pos_embed_grid=8, **TINY)
    load_weights(model, state)
    expected = resize_pos_embed(state['pos_embed'], (8, 8), (37, 37))
    torch.testing.assert_close(model.trunk.pos_embed.data, expected)


def test_beits_tables_are_resized_as_timm_does():
    state = timm_state('beit_base_patch16_224', **BEIT)
    official = dict(state)
    official['blocks.0.attn.relative_position_index'] = torch.zeros(50, 50, dtype=torch.long)
    model = PlainViT('beit_base_patch16_224', **dict(BEIT, img_size=(160, 128)), **TINY)
    report = load_weights(model, official)
    assert 'trunk.blocks.0.attn.relative_position_index' in report.left
    table = model.trunk.blocks[1].attn.relative_position_bias_table
    square = state['blocks.1.attn.relative_position_bias_table']
    expected = resize_rel_pos_bias_table(square, (10, 8), tuple(table.shape))
    assert torch.equal(table, expected)


@pytest.mark.parametrize('stem', [None, dict(model_name='resnet10t', out_indices=(1, 2, 3))])
def test_a_further_channel_says_nothing_at_first(stem):
    """A trimap beside the colours, of a trunk or of its stem."""
    options = dict(img_size=64, stem=stem, **TINY)
    colors, more = randomise(PlainViT(**options)).eval(), randomise(PlainViT(in_chans=4, **options), 1).eval()
    report = load_weights(more, colors.state_dict())
    assert len(report.resized) == 1 and not report.missing
    images = torch.randn(1, 4, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(more(images)[0], colors(images[:, :3])[0])
