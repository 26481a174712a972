"""A checkpoint that holds more, less or another network than the model loads as a whole or says what it is."""
from __future__ import annotations

import pytest
import torch
from randomised import randomise
from tiny_models import TINY, random_timm

from densevit import Hiera, PlainViT, SimpleFeaturePyramid, TimmPyramid, ViTAdapter, ViTCoMer, load_weights
from densevit.weights import WeightsError

VIT = dict(TINY, img_size=64, patch_size=16)
CONVNEXT = dict(name='convnext_atto', depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), norm_out=True)
HEADS = {'neck.convs.0.weight': torch.ones(2), 'rpn_head.up.weight': torch.ones(2), 'level_embed': torch.ones(4, 8)}
BUILD = {
    'PlainViT': lambda: PlainViT(**VIT),
    'SimpleFeaturePyramid': lambda: SimpleFeaturePyramid(VIT, out_channels=8),
    'ViTAdapter': lambda: ViTAdapter(VIT, num_heads=4),
    'ViTCoMer': lambda: ViTCoMer(VIT, num_heads=4),
    'TimmPyramid': lambda: TimmPyramid(**CONVNEXT),
    'Hiera': lambda: Hiera(embed_dim=16, num_heads=1, stages=(1, 2, 3, 1), img_size=(64, 96), norm_out=True),
}
ADAPTERS = ['SimpleFeaturePyramid', 'ViTAdapter', 'ViTCoMer']


def model_of(name, seed):
    return randomise(BUILD[name](), seed)


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def refused(model, state, match):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=match):
        load_weights(model, state)
    torch.testing.assert_close(model.state_dict(), before)


@pytest.mark.parametrize('name', BUILD)
def test_a_model_of_ours_in_a_detector__fills_all(name):
    source = model_of(name, 1)
    for prefix in ('backbone.', 'detector.backbone.', 'model.'):
        model = model_of(name, 2)
        report = load_weights(model, {**prefixed(source.state_dict(), prefix), **HEADS})
        assert not report.missing and set(report.left) == HEADS.keys()
        torch.testing.assert_close(model.state_dict(), source.state_dict())


@pytest.mark.parametrize('name', ADAPTERS)
def test_a_tensor_too_many_or_too_few__is_named(name):
    state, model = model_of(name, 1).state_dict(), model_of(name, 2)
    refused(model, {**state, 'levels.9.bias': torch.ones(1)}, r'only in the checkpoint: levels\.9\.bias')
    lacking = {'SimpleFeaturePyramid': 'levels.3.smooth.weight'}.get(name, 'level_embed')
    state = {key: tensor for key, tensor in state.items() if key != lacking}
    for given in (state, prefixed(state, 'backbone.')):
        refused(model, given, rf'lacks parts that the model has; (.|\n)*only in the model: {lacking}')


def test_a_missing_interaction__is_not_taken_for_missing_heads():
    state, model = model_of('ViTCoMer', 1).state_dict(), model_of('ViTCoMer', 2)
    refused(model, {key: tensor for key, tensor in state.items() if not key.startswith('interactions.3.')},
            r'lacks parts that the model has; build the model with the options of the checkpoint')


@pytest.mark.parametrize('theirs, ours', [
    ('SimpleFeaturePyramid', 'ViTAdapter'), ('ViTCoMer', 'SimpleFeaturePyramid')])
def test_another_adapter__is_refused_and_its_vit_can_be_had(theirs, ours):
    source, model = model_of(theirs, 1), model_of(ours, 2)
    state = prefixed(source.state_dict(), 'backbone.')
    refused(model, state, rf'it is of a .*{theirs} .*no use or not all; .*load only its ViT, into model\.vit')
    load_weights(model.vit, state)
    torch.testing.assert_close(model.vit.state_dict(), source.vit.state_dict())


def test_an_adapter_without_its_stem__is_refused():
    state = {name: tensor for name, tensor in model_of('ViTAdapter', 1).state_dict().items() if 'spm.' not in name}
    refused(model_of('ViTAdapter', 2), state, r'it is of a ViTAdapter or ViTCoMer \(interactions\.')


@pytest.mark.parametrize('name', ADAPTERS)
def test_a_plain_vit_of_another_model__fills_the_vit(name):
    """A classifier's, a detector's with a transformer and its level embeddings, a segmentor's."""
    source = random_timm('vit_small_patch16_224', img_size=64)
    for prefix, others in (('', {'head.weight': torch.ones(3, 32)}), ('backbone.', HEADS),
                           ('backbone.', {'decode_head.bias': torch.ones(3)})):
        model = model_of(name, 2)
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        report = load_weights(model, {**prefixed(source.state_dict(), prefix), **others})
        assert torch.equal(model.vit.trunk.blocks[3].mlp.fc1.weight, source.blocks[3].mlp.fc1.weight)
        assert report.kept == report.missing and all(torch.equal(model.state_dict()[key], before[key])
                                                     for key in report.kept)
        assert 'kept as initialised: ' in str(report) and '  missing' not in str(report)


def test_relative_positions_that_the_checkpoint_has_in_part__are_missing():
    vit = dict(VIT, family='sam', window_size=2, global_blocks=(1, ))
    source, model = (SimpleFeaturePyramid(vit, out_channels=8) for _ in range(2))
    state = source.vit.trunk.state_dict()
    assert any('rel_pos' in name for name in load_weights(
        model, {name: tensor for name, tensor in state.items() if 'rel_pos' not in name}).kept)
    refused(model, {name: tensor for name, tensor in state.items() if 'blocks.2.attn.rel_pos' not in name},
            r'only in the model: vit\.trunk\.blocks\.2\.attn\.rel_pos_h')


@pytest.mark.parametrize('name', ADAPTERS)
def test_an_adapter_into_a_plain_vit__is_told_how_to_build_it(name):
    state = model_of(name, 1).state_dict()
    refused(model_of('PlainViT', 2), state, 'has no class token and no final norm; build the model\'s with '
                                            'keep_prefix=False, norm_out=False')
    assert not load_weights(PlainViT(**VIT, keep_prefix=False, norm_out=False), state).missing


@pytest.mark.parametrize('name', BUILD)
def test_two_of_them__are_both_named(name):
    state = model_of(name, 1).state_dict()
    both = {**prefixed(state, 'student.backbone.'), **prefixed(state, 'teacher.backbone.')}
    model = model_of(name, 2)
    refused(model, both, r'2 of these networks, .*student\.backbone\..*, teacher\.backbone\.')
    assert not load_weights(model, both, prefix='teacher.backbone.').missing


def test_two_hierarchical_backbones_under_timms_names__are_both_named():
    state = model_of('TimmPyramid', 1).trunk.state_dict()
    model = model_of('TimmPyramid', 2)
    refused(model, {**prefixed(state, 'student.'), **prefixed(state, 'teacher.')}, r'student\.\*, teacher\.\*')
    assert {name.split('.')[0] for name in load_weights(model, state).kept} == {'norms'}
