"""Checkpoints of SAM 2 and Hiera under whatever names give the outputs of the model that they describe."""
from __future__ import annotations

import re

import pytest
import torch
from hiera_models import HIERA, SAM2, hiera, hiera_det, official_state, wide
from official import assert_close
from official_hiera import hiera as official_hiera
from randomised import randomise
from timm.models.hiera import Hiera as TimmHiera
from timm.models.hieradet_sam2 import HieraDet as TimmHieraDet
from transformers import HieraConfig, HieraForPreTraining, HieraModel, Sam2HieraDetConfig
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetModel

from densevit.backbones.hiera import plain_to_map
from densevit.layers import absolute_window_pos_embed
from densevit.weights import WeightsError, load_weights

NATIVE = HIERA['img_size']
WIDTHS = dict(blocks=[1, 2, 3, 1], widths=[16, 32, 64, 128], heads=[1, 2, 4, 8])


def hf_sam2():
    return randomise(Sam2HieraDetModel(Sam2HieraDetConfig(
        hidden_size=16, num_attention_heads=1, blocks_per_stage=WIDTHS['blocks'],
        embed_dim_per_stage=WIDTHS['widths'], num_attention_heads_per_stage=WIDTHS['heads'],
        window_size_per_stage=list(SAM2['window_spec']), global_attention_blocks=list(SAM2['global_att_blocks']),
        window_positional_embedding_background_size=[7, 7])))


def hf_hiera(cls=HieraModel, **kwargs):
    return randomise(cls(HieraConfig(embed_dim=16, depths=WIDTHS['blocks'], num_heads=WIDTHS['heads'],
                                     image_size=list(NATIVE), **kwargs)))


def prefixed(state, prefix, **others):
    return {**{prefix + name: tensor for name, tensor in state.items()}, **others}


@pytest.mark.parametrize('size', [(32, 96), (160, 96)])
def test_sam2_of_transformers(size):
    model, reference = hiera_det().eval(), hf_sam2()
    decoder = 'mask_decoder.iou_token.weight'
    state = prefixed(reference.state_dict(), 'vision_encoder.backbone.', **{decoder: torch.ones(1)})
    report = load_weights(model, state)
    assert (report.naming, report.left, report.missing) == ('transformers SAM 2', (decoder, ), ())
    images = wide(*size)
    levels = reference(images).intermediate_hidden_states
    assert_close(model(images), [x.permute(0, 3, 1, 2) for x in levels], 1e-5)


def test_hiera_of_transformers():
    model, reference = hiera().eval(), hf_hiera()
    report = load_weights(model, reference.state_dict())
    assert (report.naming, report.missing) == ('transformers Hiera', ())
    images = wide(*NATIVE)
    levels = reference(images, output_hidden_states=True).reshaped_hidden_states[1:]
    assert_close(model(images), [x.permute(0, 3, 1, 2) for x in levels], 1e-5)


def test_a_masked_autoencoder_of_transformers():
    reference = hf_hiera(HieraForPreTraining, decoder_hidden_size=16, decoder_depth=1, decoder_num_heads=1)
    report = load_weights(hiera(), reference.state_dict())
    assert report.naming == 'transformers Hiera' and not report.missing
    assert any('decoder' in name for name in report.left)


def test_a_whole_sam2_checkpoint():
    model, source = hiera_det().eval(), randomise(TimmHieraDet(**SAM2, num_classes=0), 1)
    trunk = {re.sub(r'mlp\.fc(\d)', lambda match: f'mlp.layers.{int(match[1]) - 1}', name): tensor
             for name, tensor in source.state_dict().items() if not name.startswith('head')}
    checkpoint = {'model': prefixed(trunk, 'image_encoder.trunk.', **{
        'image_encoder.neck.convs.0.conv.weight': torch.ones(1), 'maskmem_tpos_enc': torch.ones(1),
        'sam_mask_decoder.transformer.norm_final_attn.weight': torch.ones(1)})}
    report = load_weights(model, checkpoint)
    assert report.naming == 'Segment Anything 2' and len(report.left) == 3 and not report.missing
    images = wide(96, 64)
    assert_close(model(images), source.forward_intermediates(images, intermediates_only=True), 1e-5)


def test_an_official_hiera():
    state = official_state(hiera())
    report = load_weights(hiera(), {'model_state': state, 'epoch': 3})
    assert report.naming == 'Hiera' and not report.missing
    assert report.left == ('norm.weight', 'norm.bias', 'head.projection.weight', 'head.projection.bias')


def test_an_official_masked_autoencoder():
    reference = official_hiera(masked=True, **{**{key: value for key, value in HIERA.items() if key != 'img_size'},
                                               'input_size': NATIVE}, decoder_embed_dim=16, decoder_depth=1,
                               decoder_num_heads=1)
    report = load_weights(hiera(), {'model_state': reference.state_dict()})
    assert report.naming == 'Hiera MAE' and not report.missing
    assert {name.split('.')[0] for name in report.left} == {
        'encoder_norm', 'decoder_embed', 'decoder_pos_embed', 'decoder_blocks', 'decoder_norm', 'decoder_pred',
        'mask_token', 'multi_scale_fusion_heads'}


@pytest.mark.parametrize('reference, build', [
    (TimmHieraDet, hiera_det), (TimmHiera, hiera),
    (TimmHiera, lambda **kwargs: hiera(abs_win_pos_embed=True, **kwargs))])
def test_timms_own_with_fewer_stages(reference, build):
    model = build(out_indices=(1, 2)).eval()
    kwargs = dict(abs_win_pos_embed=True) if 'trunk.pos_embed_win' in model.state_dict() else {}
    source = randomise(reference(**(SAM2 if reference is TimmHieraDet else HIERA), **kwargs), 1)
    report = load_weights(model, source.state_dict())
    assert report.naming == 'timm' and not report.missing
    assert {name.split('.')[0] for name in report.left} == {'head', 'blocks'}
    images = wide(*NATIVE)
    assert_close(model(images), source.forward_intermediates(images, indices=[1, 2], intermediates_only=True), 1e-5)


@pytest.mark.parametrize('build', [hiera_det, hiera])
def test_our_own_with_norms_of_the_levels(build):
    source = randomise(build(norm_out=True), 1)
    model = build(norm_out=True).eval()
    state = prefixed(source.state_dict(), 'backbone.', **{'decode_head.conv_seg.weight': torch.ones(1)})
    report = load_weights(model, state)
    assert not report.missing and report.left == ('decode_head.conv_seg.weight', )
    assert_close(model(wide(32, 64)), source(wide(32, 64)), 1e-5)
    official = build(norm_out=True)
    assert all(name.startswith('norms.') for name in load_weights(official, official_state(build())).missing)


def test_positions_of_another_size_are_resized():
    source = randomise(TimmHieraDet(**{**SAM2, 'global_pos_size': (14, 14)}), 1)
    model = hiera_det()
    assert load_weights(model, source.state_dict()).naming == 'timm (positions resized)'
    expected = torch.nn.functional.interpolate(source.pos_embed, size=(7, 7), mode='bicubic')
    torch.testing.assert_close(model.trunk.pos_embed.data, expected)
    square = randomise(TimmHiera(**{**HIERA, 'img_size': (96, 96)}), 1)
    wider = hiera()
    assert load_weights(wider, square.state_dict()).naming == 'timm (positions resized)'
    expected = torch.nn.functional.interpolate(
        plain_to_map(square.pos_embed), size=(16, 24), mode='bicubic', antialias=True)
    torch.testing.assert_close(wider.trunk.pos_embed.data, expected.flatten(2).transpose(1, 2))


def test_positions_of_the_other_form_are_converted():
    plain = randomise(TimmHiera(**HIERA), 1)
    absolute = hiera(pos_embed='absolute_window')
    report = load_weights(absolute, plain.state_dict())
    assert report.naming == 'timm (positions split into a global and a window part)' and not report.missing
    again = hiera(pos_embed='interpolate')
    assert load_weights(again, absolute.trunk.state_dict()).naming == 'timm (positions summed up)'
    whole = absolute_window_pos_embed(absolute.trunk.pos_embed_win, absolute.trunk.pos_embed, (16, 24))
    torch.testing.assert_close(again.trunk.pos_embed.data, whole.flatten(2).transpose(1, 2))


def test_a_hiera_starts_a_hiera_det():
    """As SAM 2's trunks started: all weights fit, and windows see the positions that mask units saw."""
    state = official_state(hiera(img_size=224))
    cells = state['pos_embed'].new_zeros(1, 16, 7, 7)
    window = torch.randn(1, 16, 8, 8)
    state['pos_embed'] = absolute_window_pos_embed(window, cells, (56, 56)).flatten(2).transpose(1, 2)
    model = hiera_det()
    report = load_weights(model, {'model_state': state})
    assert report.naming == 'Hiera (positions split into a global and a window part)' and not report.missing
    mean = window.mean((2, 3), keepdim=True)
    torch.testing.assert_close(model.trunk.pos_embed_window.data, window - mean)
    torch.testing.assert_close(model.trunk.pos_embed.data, mean.expand(1, 16, 7, 7))


def test_what_does_not_fit_is_refused():
    state = official_state(hiera())
    with pytest.raises(WeightsError, match='its positions do not fit: 384 positions are not a grid of 19x19'):
        load_weights(hiera(img_size=(64, 64)), state)
    with pytest.raises(WeightsError, match='does not fit'):
        load_weights(hiera(embed_dim=32), state)
    with pytest.raises(WeightsError, match='fit no HieraDet known here'):
        load_weights(hiera_det(), {'stages.0.weight': torch.ones(1)})
