"""EoMT checkpoints of other code bases give the masks and classes of the model that they describe."""
from __future__ import annotations

import re

import pytest
import torch
from randomised import randomise
from tiny_models import random_eomt, random_trunk

from densevit.models import MaskSegmentor
from densevit.weights import WeightsError, load_weights

transformers = pytest.importorskip('transformers')
MASKS = [(1., 1.), (0., 0.)]  # transformers uses a stale mask in between
DINOV3 = dict(name='vit_small_patch16_dinov3_qkvb')


def hf_eomt(swiglu=False):
    return randomise(transformers.EomtForUniversalSegmentation(transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=64, patch_size=16, num_blocks=2,
        num_queries=10, num_register_tokens=4, num_labels=7, num_upscale_blocks=2, use_swiglu_ffn=swiglu,
        attn_implementation='eager')), 1)


def hf_eomt_dinov3(gated=False):
    model = randomise(transformers.EomtDinov3ForUniversalSegmentation(transformers.EomtDinov3Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128, image_size=64,
        patch_size=16, num_blocks=2, num_queries=10, num_labels=7, layer_norm_eps=1e-5, use_gated_mlp=gated,
        hidden_act='silu' if gated else 'gelu', attn_implementation='eager')), 1)
    for module in (model.mask_head, *model.upscale_block.block):
        module.activation = torch.nn.GELU()  # EoMT's heads are not gated; transformers gives them the backbone's
    return model


def giant_eomt():
    return random_eomt('vit_giant_patch14_reg4_dinov2', mlp_ratio=5.5)


def set_probs(reference, probs):
    reference.attn_mask_probs.copy_(torch.tensor(probs))
    return reference


def assert_same(model, reference, images, tolerance=1e-4):
    expected = reference(images)
    masks, classes = model(images)[-1]
    assert expected.masks_queries_logits.std() > 1 and expected.class_queries_logits.std() > .1
    torch.testing.assert_close(masks, expected.masks_queries_logits, rtol=0, atol=tolerance)
    torch.testing.assert_close(classes, expected.class_queries_logits, rtol=0, atol=tolerance)


def rename(state, *rules):
    renamed = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return renamed


AUTHORS_HEADS = (
    (r'^query\.', 'q.'), (r'^class_predictor\.', 'class_head.'), (r'^mask_head\.fc1', 'mask_head.0'),
    (r'^mask_head\.fc2', 'mask_head.2'), (r'^mask_head\.fc3', 'mask_head.4'),
    (r'^upscale_block\.block\.(\d)\.layernorm2d', r'upscale.\1.norm'), (r'^upscale_block\.block\.', 'upscale.'))


def authors_dinov2(state):
    """Names of github.com/tue-mps/eomt from those of transformers."""
    fused = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r'(layers\.\d+\.)attention\.q_proj\.(.+)', name):
            parts = [state[f'{match[1]}attention.{part}_proj.{match[2]}'] for part in 'qkv']
            fused[f'{match[1]}attn.qkv.{match[2]}'] = torch.cat(parts)
        elif match := re.fullmatch(r'(layers\.\d+\.mlp)\.gate_proj\.(.+)', name):
            fused[f'{match[1]}.fc1.{match[2]}'] = torch.cat((tensor, state[f'{match[1]}.up_proj.{match[2]}']))
        elif not re.search(r'\.[kv]_proj\.|\.up_proj\.', name):
            fused[name] = tensor
    state = rename(
        fused, *AUTHORS_HEADS, (r'^embeddings\.cls_token', 'backbone.cls_token'),
        (r'^embeddings\.register_tokens', 'backbone.reg_token'),
        (r'^embeddings\.position_embeddings\.weight', 'backbone.pos_embed'),
        (r'^embeddings\.patch_embeddings\.projection', 'backbone.patch_embed.proj'),
        (r'^layers', 'backbone.blocks'), (r'attention\.out_proj', 'attn.proj'),
        (r'layer_scale(\d)\.lambda1', r'ls\1.gamma'), (r'mlp\.down_proj', 'mlp.fc2'), (r'^layernorm', 'backbone.norm'),
        (r'^backbone', 'encoder.backbone'))
    state['encoder.backbone.pos_embed'] = state['encoder.backbone.pos_embed'][None]
    return complete_authors(state, torch.tensor([.485, .456, .406]))


def authors_dinov3(state, mean=(.485, .456, .406)):
    return complete_authors(rename(
        state, *AUTHORS_HEADS, (r'^embeddings\.', 'encoder.backbone.patch_embed.'),
        (r'^layers\.', 'encoder.backbone.blocks.'), (r'^layernorm\.', 'encoder.backbone.norm.')), torch.tensor(mean))


def complete_authors(state, mean):
    return {'network.' + name: tensor for name, tensor in state.items() if name != 'criterion.empty_weight'} | {
        'network.encoder.pixel_mean': mean.reshape(1, 3, 1, 1), 'network.encoder.pixel_std': mean.reshape(1, 3, 1, 1),
        'criterion.empty_weight': torch.ones(8)}


@pytest.mark.parametrize('probs', MASKS)
def test_transformers_eomt(probs, images):
    reference = set_probs(hf_eomt(), probs)
    model = random_eomt()
    report = load_weights(model, reference.state_dict())
    assert report.naming == 'transformers EoMT' and not report.missing
    assert len(model(images)) == (3 if probs[0] else 1)
    assert_same(model, reference, images)


@pytest.mark.parametrize('probs', MASKS)
@pytest.mark.parametrize('naming', ['transformers 4.57', 'transformers 5', 'authors'])
def test_swiglu_naming(naming, probs, images):
    reference = set_probs(hf_eomt(swiglu=True), probs)
    state = reference.state_dict()
    if naming == 'transformers 4.57':
        for index in range(4):
            mlp = f'layers.{index}.mlp.'
            for kind in ('weight', 'bias'):
                gate, up = (state.pop(f'{mlp}{part}_proj.{kind}') for part in ('gate', 'up'))
                state[f'{mlp}weights_in.{kind}'] = torch.cat((gate, up))
                state[f'{mlp}weights_out.{kind}'] = state.pop(f'{mlp}down_proj.{kind}')
    elif naming == 'authors':
        state = authors_dinov2(state)
    model = giant_eomt()
    assert not load_weights(model, state).missing
    assert_same(model, reference, images)


@pytest.mark.parametrize('probs', MASKS)
@pytest.mark.parametrize('gated', [False, True])
def test_transformers_eomt_dinov3(gated, probs, images):
    reference = set_probs(hf_eomt_dinov3(gated), probs)
    model = random_eomt('vit_huge_plus_patch16_dinov3_qkvb') if gated else random_eomt(**DINOV3)
    report = load_weights(model, reference.state_dict())
    assert report.naming == 'transformers EoMT-DINOv3' and not report.missing
    assert_same(model, reference, images)


def wrap_lightning(state):
    return {'state_dict': state, 'epoch': 3, 'hyper_parameters': {'lr': 1e-4}}


WRAPPERS = {
    'plain': lambda state: state,
    'without network.': lambda state: {name.removeprefix('network.'): tensor for name, tensor in state.items()},
    'Lightning': wrap_lightning,
    'compiled': lambda state: wrap_lightning(rename(state, (r'^network\.', 'network._orig_mod.'))),
    'DDP': lambda state: rename(state, (r'^', 'module.')),
}


def test_authors_names_give_the_outputs_of_transformers_names(images):
    reference = set_probs(hf_eomt(), (0., 0.))
    from_hf = random_eomt(seed=2)
    load_weights(from_hf, reference.state_dict())
    for wrap in WRAPPERS.values():
        from_authors = random_eomt(seed=4)
        report = load_weights(from_authors, wrap(authors_dinov2(reference.state_dict())))
        assert report.naming == "the authors' EoMT" and not report.missing
        for ours, theirs in zip(from_authors(images)[-1], from_hf(images)[-1], strict=True):
            assert torch.equal(ours, theirs)


def as_delta(reference, base):
    """What the authors release: the backbone (and its normalisation) minus DINOv3's, queries and heads complete."""
    delta = authors_dinov3(reference.state_dict(), mean=(0., 0., 0.))
    start = rename(base.state_dict(), (r'^embeddings\.', 'patch_embed.'), (r'^(model\.)?layer\.', 'blocks.'))
    for name, tensor in start.items():
        if name != 'patch_embed.mask_token':
            delta['network.encoder.backbone.' + name] = delta['network.encoder.backbone.' + name] - tensor
    return delta


def hf_dinov3():
    return randomise(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128, num_register_tokens=4)), 7)


@pytest.mark.parametrize('base_naming, stored_probs', [
    ('transformers 5', -1.), ('transformers 4', 0.), ('timm', 0.)])
def test_dinov3_differences_and_base_equal_complete_weights(base_naming, stored_probs, images):
    reference, base = set_probs(hf_eomt_dinov3(), (0., 0.)), hf_dinov3()
    delta, base_state = as_delta(reference, base), base.state_dict()
    delta['network.attn_mask_probs'].fill_(stored_probs)
    if base_naming == 'transformers 4':
        base_state = rename(base_state, (r'^model\.', ''))
    elif base_naming == 'timm':
        trunk = random_trunk(**DINOV3)
        load_weights(trunk, base_state)
        base_state = trunk.trunk.state_dict()
    model = random_eomt(**DINOV3)
    load_weights(model, delta, base=base_state)
    assert len(model(images)) == 1 and not model.attn_mask_probs.any()
    assert_same(model, reference, images)


def test_complete_authors_dinov3_needs_no_base(images):
    reference = set_probs(hf_eomt_dinov3(), (0., 0.))
    model, complete = random_eomt(**DINOV3), authors_dinov3(reference.state_dict())
    load_weights(model, complete)
    assert_same(model, reference, images)
    with pytest.raises(WeightsError, match='leave out base'):
        load_weights(model, complete, base=hf_dinov3().state_dict())


def test_differences_without_base_or_with_another():
    delta, model = as_delta(hf_eomt_dinov3(), hf_dinov3()), random_eomt(**DINOV3)
    before = model.state_dict()
    with pytest.raises(WeightsError, match='base='):
        load_weights(model, delta)
    with pytest.raises(WeightsError, match='trained from'):
        load_weights(model, delta, base=random_trunk(**DINOV3, embed_dim=48).state_dict())
    with pytest.raises(WeightsError, match='no backbone known'):
        load_weights(model, delta, base={'conv.weight': torch.zeros(1)})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_into_a_segmentor_and_into_a_backbone(images):
    reference = set_probs(hf_eomt(), (0., 0.))
    segmentor = MaskSegmentor(
        dict(type='densevit.PlainViT', name='vit_small_patch14_reg4_dinov2', img_size=64, patch_size=16, embed_dim=32,
             depth=4, num_heads=4),
        dict(type='densevit.EoMT', num_queries=10, num_blocks=2), num_classes=7).eval()
    load_weights(segmentor, reference.state_dict())
    expected = reference(images)
    torch.testing.assert_close(segmentor(images)[-1].masks, expected.masks_queries_logits, rtol=0, atol=1e-4)
    trunk = random_trunk('vit_small_patch14_reg4_dinov2', img_size=64, patch_size=16)
    report = load_weights(trunk, authors_dinov2(reference.state_dict()))
    assert 'query.weight' in report.left and not report.missing
    assert torch.equal(trunk(images)[0], segmentor.backbone(images)[0])


def test_layers_that_are_fused_must_be_complete():
    state = hf_eomt().state_dict()
    del state['layers.1.attention.k_proj.bias']
    with pytest.raises(WeightsError, match=r'no blocks\.1\.attn\.k\.bias'):
        load_weights(random_eomt(), state)
    state['layers.1.attention.k_proj.bias'] = torch.zeros(32)
    state['layers.0.attention.k_proj.weight'] = torch.zeros(32, 8)
    with pytest.raises(WeightsError, match='q 32x32, k 32x8, v 32x32'):
        load_weights(random_eomt(), state)
