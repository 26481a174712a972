"""SimpleFeaturePyramid gives what detectron2's ViTDet gives, at any size."""
from __future__ import annotations

import pytest
import torch
from official import assert_close, assert_golden, fill, write_golden
from official_vitdet import vitdet
from randomised import randomise

from densevit.adapters import SimpleFeaturePyramid
from densevit.backbones import PlainViT
from densevit.weights.names.vitdet import read_vitdet

TINY = dict(embed_dim=32, depth=3, num_heads=2)
# Positions of a 4x4 grid as pre-training leaves them, tables of relative positions for an 8x8 grid: both are stretched.
SAM = dict(TINY, family='sam', img_size=128, window_size=3, pos_embed_grid=4, pos_embed_antialias=False)
OFFICIAL = dict(TINY, img_size=128, pretrain_img_size=64)
# Ours, and the same as detectron2 says it.
VITDETS = {
    'windows': (dict(SAM, global_blocks=(1, )), dict(window_size=3, window_block_indexes=(0, 2), use_rel_pos=True)),
    'all_global': (dict(SAM, window_size=0), dict(use_rel_pos=True)),
    'all_windows': (SAM, dict(window_size=3, window_block_indexes=(0, 1, 2), use_rel_pos=True)),
    'no_relative_positions': (dict(SAM, global_blocks=(0, 2), use_rel_pos=False),
                              dict(window_size=3, window_block_indexes=(1, ))),
}


def wide_images(height=96, width=160):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def build(name, **kwargs):
    """Ours, with parameters that follow from a seed."""
    ours = SimpleFeaturePyramid(VITDETS[name][0], out_channels=16, top_block=True, **kwargs).eval()
    fill(ours)
    return ours


@pytest.mark.parametrize('name', VITDETS)
@torch.no_grad()
def test_equals_detectron2(name):
    ours, theirs = build(name), vitdet(**OFFICIAL, **VITDETS[name][1]).eval()
    own = ours.state_dict()
    _, renamed, left = read_vitdet(theirs.state_dict(), ours)
    assert renamed.keys() == own.keys() and not left
    for key, tensor in renamed.items():  # what a state dict holds is the module's own memory
        if key == 'vit.trunk.pos_embed':  # theirs has a position of the class token, which nothing reads
            tensor = tensor[:, 1:].unflatten(1, (4, 4))
        tensor.copy_(own[key])
    expected = list(theirs(wide_images()).values())
    write_golden(f'vitdet_{name}', expected)
    assert_close(ours(wide_images()), expected)


@pytest.mark.parametrize('name', VITDETS)
@torch.no_grad()
def test_equals_the_record_of_detectron2(name):
    assert_golden(f'vitdet_{name}', build(name)(wide_images()))


@torch.no_grad()
def test_equals_transformers_vitdet():
    """Its trunk; the levels on top are compared above."""
    transformers = pytest.importorskip('transformers')
    theirs = randomise(transformers.VitDetBackbone(transformers.VitDetConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=128, pretrain_image_size=64,
        window_size=3, window_block_indices=[0, 2], use_relative_position_embeddings=True)))
    ours = SimpleFeaturePyramid(VITDETS['windows'][0]).eval()
    state = {}
    for name, tensor in theirs.state_dict().items():
        name = name.replace('embeddings.projection', 'patch_embed.proj').replace('encoder.layer.', 'blocks.')
        name = name.replace('attention.', 'attn.').replace('embeddings.position_embeddings', 'pos_embed')
        state[name] = tensor[:, 1:].unflatten(1, (4, 4)) if name == 'pos_embed' else tensor
    ours.vit.trunk.load_state_dict(state)
    assert_close(ours.vit(wide_images()), [theirs(wide_images()).feature_maps[-1]])


def test_norms():
    for norm in ['BN', 'SyncBN', 'none']:
        model = SimpleFeaturePyramid(dict(img_size=64, **TINY), out_channels=8, norm=norm, norm_eval=True).train()
        names = {name.rsplit('.', 1)[-1] for name, _ in model.levels.named_buffers()}
        assert ('running_mean' in names) == (norm != 'none')
        assert (model.levels[0].smooth.bias is None) == (norm != 'none')
        before = [buffer.clone() for buffer in model.buffers()]
        model(wide_images(64, 64))[0].sum().backward()
        assert all(torch.equal(old, new) for old, new in zip(before, model.buffers(), strict=True))


@torch.no_grad()
def test_pads_of_an_odd_image_are_not_seen():
    """33 rows are three rows of patches, and so are 48: what is added at the bottom is black in both."""
    model = randomise(SimpleFeaturePyramid(dict(img_size=64, **TINY), out_channels=8))
    odd = wide_images(33, 70)
    padded = torch.nn.functional.pad(odd, (0, 10, 0, 15))
    for level, whole in zip(model(odd), model(padded), strict=True):
        torch.testing.assert_close(level, whole[..., :level.shape[-2], :level.shape[-1]])


@torch.no_grad()
def test_a_given_vit_keeps_its_tokens_and_norm():
    vit = PlainViT('vit_small_patch14_reg4_dinov2', img_size=56, patch_size=16, **TINY)
    model = randomise(SimpleFeaturePyramid(vit, out_channels=8, scale_factors=(1., )))
    level, = model(wide_images())
    expected = model.levels[0](vit(wide_images())[0])
    torch.testing.assert_close(level, expected)
    assert vit.num_prefix_tokens == 5
    assert SimpleFeaturePyramid(dict(name='vit_small_patch14_reg4_dinov2', img_size=56, patch_size=16, **TINY)
                                ).vit.num_prefix_tokens == 0


def test_layers_learn_as_those_of_the_vit():
    model = SimpleFeaturePyramid(dict(img_size=64, frozen_stages=1, **TINY)).train()
    assert model.layer_index('vit.trunk.pos_embed') == 0 and model.layer_index('vit.trunk.blocks.2.norm1.bias') == 3
    assert model.layer_index('levels.0.project.weight') == model.depth + 1
    frozen = {name.split('.')[1] for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {'trunk'} and all(parameter.requires_grad for parameter in model.levels.parameters())


def test_wrong_arguments_are_explained():
    for kwargs, said in [
        (dict(vit=dict(patch_size=14, img_size=56, **TINY)), 'strides 3.5, 7, 14, 28 .* set patch_size=16'),
        (dict(scale_factors=(1., 2.)), 'finest first'),
        (dict(scale_factors=()), 'choose from'),
        (dict(scale_factors=(.25, )), 'choose from'),
        (dict(norm='GN'), "norm='GN': choose one of LN"),
    ]:
        with pytest.raises(ValueError, match=said):
            SimpleFeaturePyramid(**{'vit': dict(img_size=64, **TINY), **kwargs})
