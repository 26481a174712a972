"""PlainViT computes what official code does, in windows and at sizes that are no square."""
import re

import pytest
import torch
from official import assert_close, assert_golden, fill, write_golden
from official_trunks import adapter_beit, comer_vit, dinov3_vit, run_blocks

from densevit.backbones import PlainViT
from densevit.weights import load_weights

TINY = dict(embed_dim=32, depth=3, num_heads=2)
COMER = dict(TINY, img_size=64, patch_size=16, init_values=1., out_indices=(0, 1, 2), keep_prefix=False, norm_out=False,
             window_size=3, global_blocks=(1, ), pad_mode='official', pos_embed_antialias=False)
BEIT = dict(TINY, name='beit_base_patch16_224', img_size=(80, 112), init_values=1., out_indices=(0, 1, 2),
            norm_out=False)
DINOV3 = dict(TINY, name='vit_small_patch16_dinov3_qkvb', out_indices=(0, 1, 2))


def build(kwargs):
    """Parameters that follow from the order and shapes of the state."""
    model = PlainViT(**kwargs).eval()
    fill(model, skip=('rope', ))
    return model


def images(height=80, width=112):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_windows_equal_vit_comers():
    """Blocks 0 and 2 in windows of 3 over 5x7 tokens: pads have queries, keys and values of 0."""
    ours = build(COMER)
    theirs = comer_vit(img_size=64, window_attn=[True, False, True], window_size=3, **TINY).eval()
    own = ours.trunk.state_dict()
    state = theirs.state_dict()
    for name in state:
        renamed = name.replace('gamma1', 'ls1.gamma').replace('gamma2', 'ls2.gamma')
        state[name] = torch.cat((state[name][:, :1], own[name]), dim=1) if name == 'pos_embed' else own[renamed]
    theirs.load_state_dict(state)
    tokens = ours.embed(images())
    expected = run_blocks(theirs, tokens.x, tokens.grid)
    write_golden('comer_vit_windows', expected)
    assert_close(ours(images()), expected)


@torch.no_grad()
def test_windows_equal_the_record_of_vit_comers():
    assert_golden('comer_vit_windows', build(COMER)(images()))


@torch.no_grad()
def test_beit_equals_vit_adapters():
    """At the size it is built for, which is the only one that the official code knows."""
    ours = build(BEIT)
    theirs = adapter_beit(img_size=(80, 112), qkv_bias=True, init_values=1., **TINY).eval()
    own, state = ours.trunk.state_dict(), theirs.state_dict()
    theirs.load_state_dict({name: own.get(name, tensor) for name, tensor in state.items()})
    assert own.keys() - {'norm.weight', 'norm.bias'} <= state.keys()
    tokens = ours.embed(images())
    expected = run_blocks(theirs, tokens.x, tokens.grid)
    write_golden('adapter_beit', expected)
    assert_close(ours(images()), expected)


@torch.no_grad()
def test_beit_equals_the_record_of_vit_adapters():
    assert_golden('adapter_beit', build(BEIT)(images()))


def under_metas_names(own, theirs):
    """Parameters of timm's DINOv3 with biases, as Meta's model calls them."""
    state = theirs.state_dict()
    for name in state:
        block, _, last = name.partition('.attn.qkv.')
        if last == 'bias':
            q_bias, v_bias = own[f'{block}.attn.q_bias'], own[f'{block}.attn.v_bias']
            state[name] = torch.cat((q_bias, torch.zeros_like(q_bias), v_bias))
        renamed = re.sub(r'ls(\d).gamma', r'gamma_\1', name).replace('storage_tokens', 'reg_token')
        state[name] = own.get(renamed, state[name])
    return state


@pytest.mark.parametrize('norm_out', [True, False])
@torch.no_grad()
def test_dinov3_equals_metas(norm_out):
    """Features with the final norm and without."""
    theirs = dinov3_vit(img_size=64, patch_size=16, n_storage_tokens=4, layerscale_init=1., mask_k_bias=True,
                        pos_embed_rope_dtype='fp32', **TINY).eval()
    filled = build(DINOV3)
    state = under_metas_names(filled.trunk.state_dict(), theirs)
    theirs.load_state_dict(state)
    ours = PlainViT(**DINOV3, norm_out=norm_out).eval()
    load_weights(ours, state)
    expected = theirs.get_intermediate_layers(images(), n=(0, 1, 2), reshape=True, norm=norm_out)
    if norm_out:
        write_golden('dinov3_vit', expected)
    assert_close(ours(images()), expected)


@torch.no_grad()
def test_dinov3_equals_the_record_of_metas():
    assert_golden('dinov3_vit', build(DINOV3)(images()))
