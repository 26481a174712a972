"""Backbone checkpoints under official names give the outputs of the model that they describe."""
from __future__ import annotations

import re

import pytest
import torch
from randomised import randomise
from tiny_models import random_timm, random_trunk

from densevit.weights import WeightsError, load_weights

WIDE = torch.randn(2, 3, 48, 96, generator=torch.Generator().manual_seed(0))


def timm_features(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The last feature map after the final norm, computed by timm."""
    options = {} if 'SAM' in type(model).__name__ else dict(norm=True)
    return model.forward_intermediates(images, indices=1, intermediates_only=True, **options)[-1]


def assert_same(trunk, reference, images=WIDE, tolerance=1e-5):
    expected = timm_features(reference, images)
    assert expected.std() > .1
    torch.testing.assert_close(trunk(images)[0], expected, rtol=0, atol=tolerance * expected.abs().max().item())


def rename(state, *rules):
    renamed = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


def dinov2_official(model):
    """Names of the DINOv2 hub: the class token's position apart, chunked blocks, w12/w3 in gated layers."""
    state = rename(model.state_dict(), (r'^reg_token', 'register_tokens'), (r'^blocks\.(\d)', r'blocks.0.\1'))
    if 'register_tokens' in state:
        position = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(5))
        state['cls_token'] = state['cls_token'] - position
        state['pos_embed'] = torch.cat((position, state['pos_embed']), dim=1)
    if 'blocks.0.0.ls1.gamma' in state and state['blocks.0.0.mlp.fc1.weight'].shape[0] % 128:
        state = rename(state, (r'mlp\.fc1', 'mlp.w12'), (r'mlp\.fc2', 'mlp.w3'))
    return dict(state, mask_token=torch.zeros(1, 32))


def dinov3_official(model):
    """Names of the DINOv3 hub: a fused bias whose key part is masked, storage tokens, RoPE periods."""
    state = rename(model.state_dict(), (r'^reg_token', 'storage_tokens'), (r'gamma_(\d)', r'ls\1.gamma'),
                   (r'fc1_g', 'w1'), (r'fc1_x', 'w2'))
    if any('.w1.' in name for name in state):
        state = rename(state, (r'mlp\.fc2', 'mlp.w3'))
    for index in range(4):
        query, value = (state.pop(f'blocks.{index}.attn.{part}_bias') for part in 'qv')
        state[f'blocks.{index}.attn.qkv.bias'] = torch.cat((query, torch.randn(32), value))
        state[f'blocks.{index}.attn.qkv.bias_mask'] = torch.full((96, ), float('nan'))
    return dict(state, mask_token=torch.zeros(1, 32), **{'rope_embed.periods': torch.ones(2)})


def mae_official(model):
    return {'model': {**model.state_dict(), 'mask_token': torch.zeros(1, 1, 32), 'decoder_pos_embed': torch.zeros(1),
                      'decoder_blocks.0.norm1.weight': torch.zeros(8), 'decoder_embed.weight': torch.zeros(8, 32)}}


def deit3_official(model):
    state = rename(model.state_dict(), (r'ls(\d)\.gamma', r'gamma_\1'))
    return {'model': {**state, 'head.weight': torch.zeros(1000, 32), 'head.bias': torch.zeros(1000)}}


def sam_official(model):
    state = rename(model.state_dict(), (r'mlp\.fc', 'mlp.lin'), (r'^', 'image_encoder.'))
    return {**state, 'mask_decoder.iou_token.weight': torch.zeros(1, 256)}


def eva02_official(model):
    state = rename(model.state_dict(), (r'mlp\.fc1_g', 'mlp.w1'), (r'mlp\.fc1_x', 'mlp.w2'), (r'mlp\.fc2', 'mlp.w3'),
                   (r'mlp\.norm', 'mlp.ffn_ln'), (r'attn\.norm', 'attn.inner_attn_ln'))
    return {'module': {**state, 'mask_token': torch.zeros(1, 1, 32), 'lm_head.weight': torch.zeros(8, 32),
                       'rope.freqs_cos': torch.zeros(4, 8)}}


def timm_with_head(model):
    return {**model.state_dict(), 'head.weight': torch.zeros(1000, 32), 'head.bias': torch.zeros(1000)}


TRUNKS = {
    'timm AugReg': ('vit_small_patch16_224', dict(img_size=64), timm_with_head, 'timm'),
    'timm DINOv2': ('vit_small_patch14_dinov2', dict(img_size=70), timm_with_head, 'timm'),
    'timm DINOv3': ('vit_small_patch16_dinov3', dict(img_size=64), timm_with_head, 'timm'),
    'timm EVA-02': ('eva02_base_patch14_224', dict(img_size=70), timm_with_head, 'timm'),
    'DINOv2': ('vit_small_patch14_dinov2', dict(img_size=70), dinov2_official, 'DINOv2'),
    'DINOv2 with registers': ('vit_small_patch14_reg4_dinov2', dict(img_size=70), dinov2_official, 'DINOv2'),
    'DINOv2 giant': ('vit_giant_patch14_reg4_dinov2', dict(img_size=70, mlp_ratio=5.5), dinov2_official, 'DINOv2'),
    'DINOv3': ('vit_small_patch16_dinov3_qkvb', dict(img_size=64), dinov3_official, 'DINOv3'),
    'DINOv3 huge': ('vit_huge_plus_patch16_dinov3_qkvb', dict(img_size=64), dinov3_official, 'DINOv3'),
    'MAE': ('vit_base_patch16_224', dict(img_size=64), mae_official, 'MAE'),
    'DeiT III': ('deit3_small_patch16_224', dict(img_size=64), deit3_official, 'DeiT III'),
    'SAM': ('samvit_base_patch16', dict(img_size=64, global_attn_indexes=(1, )), sam_official, 'Segment Anything'),
    'EVA-02': ('eva02_base_patch14_224', dict(img_size=70), eva02_official, 'timm'),
}


@pytest.mark.parametrize('name', TRUNKS)
def test_official_names(name):
    timm_name, options, official, naming = TRUNKS[name]
    options = dict(options)
    if 'SAM' in name:
        reference = randomise(random_trunk(timm_name, **options).trunk, 1)
    else:
        reference = random_timm(timm_name, dynamic_img_size=True, **options)
    trunk = random_trunk(timm_name, **options)
    images = torch.randn(2, 3, trunk.stride * 3, trunk.stride * 6)
    with pytest.raises(AssertionError):
        assert_same(trunk, reference, images)
    report = load_weights(trunk, official(reference))
    assert report.naming == naming and not report.missing and not report.resized
    assert_same(trunk, reference, images)


def test_class_token_position_is_not_folded_without_registers():
    reference = random_timm('vit_small_patch14_dinov2', img_size=70)
    trunk = random_trunk('vit_small_patch14_dinov2', img_size=70)
    load_weights(trunk, dinov2_official(reference))
    torch.testing.assert_close(trunk.trunk.pos_embed, reference.pos_embed)


def hf_dinov3(gated=False):
    transformers = pytest.importorskip('transformers')
    return randomise(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128, num_register_tokens=4,
        use_gated_mlp=gated, hidden_act='silu' if gated else 'gelu', attn_implementation='eager')), 1)


@pytest.mark.parametrize('gated', [False, True])
def test_transformers_dinov3(gated):
    reference = hf_dinov3(gated)
    expected = reference(WIDE).last_hidden_state[:, 5:].transpose(1, 2).unflatten(2, (3, 6))
    for prefix in ('model.layer.', 'layer.'):
        trunk = random_trunk('vit_huge_plus_patch16_dinov3_qkvb' if gated else 'vit_small_patch16_dinov3_qkvb',
                             img_size=64)
        report = load_weights(trunk, rename(reference.state_dict(), (r'^model\.layer\.', prefix)))
        assert report.naming == 'transformers DINOv3' and not report.missing
        torch.testing.assert_close(trunk(WIDE)[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize('naming', ['current', 'before transformers 5'])
@pytest.mark.parametrize('registers', [False, True])
def test_transformers_dinov2(registers, naming):
    transformers = pytest.importorskip('transformers')
    kind = 'Dinov2WithRegisters' if registers else 'Dinov2'
    config = getattr(transformers, f'{kind}Config')(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=64, patch_size=16)
    reference = randomise(getattr(transformers, f'{kind}Model')(config), 1)
    state = reference.state_dict()
    if naming != 'current':
        state = rename(state, (r'attention\.q_proj', 'attention.attention.query'), (r'attention\.k_proj', 'attention.'
                       'attention.key'), (r'attention\.v_proj', 'attention.attention.value'),
                       (r'attention\.o_proj', 'attention.output.dense'))
    name = 'vit_small_patch14_reg4_dinov2' if registers else 'vit_small_patch14_dinov2'
    trunk = random_trunk(name, img_size=64, patch_size=16)
    assert not load_weights(trunk, state).missing
    images = torch.randn(2, 3, 64, 64)
    expected = reference(images).last_hidden_state[:, 1 + 4 * registers:].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(trunk(images)[0], expected, rtol=0, atol=1e-4)


def test_transformers_mae():
    transformers = pytest.importorskip('transformers')
    reference = randomise(transformers.ViTModel(transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=64, patch_size=16, intermediate_size=128,
        layer_norm_eps=1e-6), add_pooling_layer=False), 1)
    trunk = random_trunk('vit_small_patch16_224', img_size=64)
    state = {f'vit.{name}': tensor for name, tensor in reference.state_dict().items()}
    report = load_weights(trunk, {**state, 'decoder.mask_token': torch.zeros(1)})
    assert report.left == ('decoder.mask_token', )
    images = torch.randn(2, 3, 64, 64)
    expected = reference(images).last_hidden_state[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(trunk(images)[0], expected, rtol=0, atol=1e-4)


def test_attention_biases_of_zero_are_no_difference():
    with_biases = random_timm('vit_small_patch16_dinov3_qkvb', img_size=64)
    without = random_trunk('vit_small_patch16_dinov3', img_size=64)
    with pytest.raises(WeightsError, match='_qkvb'):
        load_weights(without, with_biases.state_dict())
    for name, parameter in with_biases.named_parameters():
        if name.endswith(('q_bias', 'v_bias')):
            parameter.zero_()
    assert len(load_weights(without, with_biases.state_dict()).left) == 8
    assert_same(without, with_biases)


def test_absent_attention_biases_are_zero():
    reference = random_timm('vit_small_patch16_dinov3', img_size=64)
    trunk = random_trunk('vit_small_patch16_dinov3_qkvb', img_size=64)
    assert len(load_weights(trunk, reference.state_dict()).zeroed) == 8
    assert_same(trunk, reference)


def test_names_below_a_prefix():
    reference = random_timm('vit_small_patch16_224', img_size=64, dynamic_img_size=True)
    for prefix in ('backbone.', 'module.', '_orig_mod.', 'module.backbone.'):
        trunk = random_trunk('vit_small_patch16_224', img_size=64)
        load_weights(trunk, {'state_dict': {prefix + name: tensor for name, tensor in reference.state_dict().items()}})
        assert_same(trunk, reference)


def test_a_trunk_with_a_convolutional_stem__loads_from_a_whole_model():
    stem = dict(stem=dict(model_name='test_efficientnet', out_indices=(2, 3)), class_token=False, no_embed_class=True)
    reference = random_trunk('vit_small_patch16_224', seed=1, img_size=64, **stem)
    trunk = random_trunk('vit_small_patch16_224', img_size=64, norm_out=False, **stem)
    state = reference.state_dict()
    load_weights(trunk, {f'network.backbone.{name}': tensor for name, tensor in state.items()},
                 prefix='network.backbone.')
    assert all(torch.equal(tensor, state[name]) for name, tensor in trunk.state_dict().items())


def test_unknown_names():
    with pytest.raises(WeightsError, match='known here; if it is of another network'):
        load_weights(random_trunk('vit_small_patch16_224'), {'conv.weight': torch.zeros(3)})
