"""SegFormer's checkpoints under the names of transformers, of its authors and of mmsegmentation: same outputs."""
from __future__ import annotations

import re

import pytest
import torch
from official import assert_close
from randomised import randomise

from densevit import TimmPyramid, load_weights
from densevit.networks.segmentation import SegFormerNet
from densevit.weights import WeightsError

DIMS, HEADS, DEPTHS, CLASSES = (8, 16, 24, 32), (1, 2, 3, 4), (2, 1, 2, 1), 5
SIZES = dict(name='mit_b0', embed_dims=DIMS, num_heads=HEADS, depths=DEPTHS)
SIZE = (75, 110)  # no multiple of any stride


def ours(**options):
    return randomise(SegFormerNet(TimmPyramid(**SIZES), CLASSES, width=16, dropout=0., **options), 9)


def of_transformers():
    segformer = pytest.importorskip('transformers.models.segformer.modeling_segformer', reason='needs transformers')
    config = segformer.SegformerConfig(
        depths=DEPTHS, hidden_sizes=DIMS, num_attention_heads=HEADS, decoder_hidden_size=16, num_labels=CLASSES,
        classifier_dropout_prob=0., drop_path_rate=0.)
    return randomise(segformer.SegformerForSemanticSegmentation(config), 1)


def of_mmseg():
    import mmseg.models  # noqa: F401  after densevit, which gives mmcv its operators
    from mmseg.registry import MODELS
    return randomise(MODELS.build(dict(
        type='EncoderDecoder', test_cfg=dict(mode='whole'), train_cfg=dict(),
        backbone=dict(type='MixVisionTransformer', embed_dims=8, num_layers=DEPTHS, num_heads=HEADS),
        decode_head=dict(type='SegformerHead', in_channels=DIMS, in_index=(0, 1, 2, 3), channels=16, dropout_ratio=0.,
                         num_classes=CLASSES, norm_cfg=dict(type='BN'), align_corners=False))), 1)


# The names of transformers 4, which all files on the hub have, and of the authors' code, by transformers' own tables
# (conversion_mapping.py of version 5; convert_segformer_original_to_pytorch.py of version 4).
TRANSFORMERS_4 = (
    (r'stages\.(\d)\.patch_embeddings', r'encoder.patch_embeddings.\1'), (r'stages\.(\d)\.blocks', r'encoder.block.\1'),
    (r'stages\.(\d)\.layer_norm', r'encoder.layer_norm.\1'), (r'attention\.q_proj', 'attention.self.query'),
    (r'attention\.k_proj', 'attention.self.key'), (r'attention\.v_proj', 'attention.self.value'),
    (r'attention\.sequence_reduction\.sequence_reduction', 'attention.self.sr'),
    (r'attention\.sequence_reduction\.layer_norm', 'attention.self.layer_norm'),
    (r'attention\.o_proj', 'attention.output.dense'), (r'mlp\.fc', 'mlp.dense'), ('layernorm_before', 'layer_norm_1'),
    ('layernorm_after', 'layer_norm_2'), ('linear_projections', 'linear_c'))
AUTHORS = (
    (r'segformer\.encoder\.', 'backbone.'), (r'patch_embeddings\.(\d)\.', lambda m: f'patch_embed{int(m[1]) + 1}.'),
    (r'(patch_embed\d)\.layer_norm', r'\1.norm'), (r'block\.(\d)\.', lambda m: f'block{int(m[1]) + 1}.'),
    (r'backbone\.layer_norm\.(\d)', lambda m: f'backbone.norm{int(m[1]) + 1}'), (r'attention\.self\.query', 'attn.q'),
    (r'attention\.self\.kv', 'attn.kv'), (r'attention\.self\.sr', 'attn.sr'),
    (r'attention\.self\.layer_norm', 'attn.norm'), (r'attention\.output\.dense', 'attn.proj'),
    ('layer_norm_1', 'norm1'), ('layer_norm_2', 'norm2'), (r'mlp\.dense', 'mlp.fc'),
    (r'linear_c\.(\d)', lambda m: f'linear_c{int(m[1]) + 1}'), (r'linear_fuse\.', 'linear_fuse.conv.'),
    ('batch_norm', 'linear_fuse.bn'), ('classifier', 'linear_pred'))


def renamed(state, rules):
    result = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        result[name] = tensor
    return result


def transformers_4(state):
    return renamed(state, TRANSFORMERS_4)


def authors(state):
    """One matrix of keys and values, and the classifier of every head, which this head does not use."""
    state = transformers_4(state)
    for name in [name for name in state if '.self.key.' in name]:
        joined = torch.cat((state.pop(name), state.pop(name.replace('.self.key.', '.self.value.'))))
        state[name.replace('.self.key.', '.self.kv.')] = joined
    return {**renamed(state, AUTHORS), 'decode_head.conv_seg.weight': torch.ones(CLASSES, 8, 1, 1),
            'decode_head.conv_seg.bias': torch.ones(CLASSES)}


def gradients(model, logits):
    (logits * logits.detach().sin()).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_same_gradients(ours, model, theirs):
    """Gradients are translated as weights are: what a parameter became, its gradient becomes."""
    load_weights(model, theirs)
    wanted = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert ours.keys() == wanted.keys()
    largest = max(gradient.abs().max().item() for gradient in ours.values())
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=1e-4 * largest, msg=name)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('names', [dict, transformers_4, authors])
def test_transformers__same_logits_gradients_and_statistics(names, training):
    reference, model = of_transformers(), ours()
    report = load_weights(model, names(reference.state_dict()))
    assert not report.missing and set(report.left) <= {'conv_seg.weight', 'conv_seg.bias'}
    assert ("the authors' SegFormer" if names is authors else 'transformers SegFormer') in report.naming
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    for each in (reference, model):
        each.train(training)
    with torch.enable_grad():
        expected, (actual, ) = reference(images).logits, model(images)
        assert actual.shape == (2, CLASSES, 19, 28) and expected.std() > .1
        assert_close([actual], [expected])
        theirs = names(gradients(reference, expected))
        mine = gradients(model, actual)
    other = ours()
    assert_same_gradients(mine, other, {**names(reference.state_dict()), **theirs})
    for name in ('running_mean', 'running_var'):
        torch.testing.assert_close(getattr(model.norm, name), getattr(other.norm, name), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('training', [False, True])
def test_mmseg__same_logits_and_gradients(training):
    reference, model = of_mmseg(), ours(norm_maps=True)
    report = load_weights(model, {'meta': {}, 'state_dict': reference.state_dict()})
    assert not report.missing and not report.left and report.naming == 'mmsegmentation SegFormer around OpenMMLab MiT'
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    for each in (reference, model):
        each.train(training)
    with torch.enable_grad():
        expected, (actual, ) = reference(images), model(images)
        assert_close([actual], [expected])
        theirs = gradients(reference, expected)
        mine = gradients(model, actual)
    assert_same_gradients(mine, ours(norm_maps=True), {**reference.state_dict(), **theirs})


def test_the_other_head__is_told():
    with pytest.raises(WeightsError, match=r'norms of the projected maps: build the model with norm_maps=True'):
        load_weights(ours(), of_mmseg().state_dict())
    with pytest.raises(WeightsError, match=r'has no norms of the projected maps: build .* with norm_maps=False'):
        load_weights(ours(norm_maps=True), of_transformers().state_dict())


@pytest.mark.parametrize('names', [dict, transformers_4, authors])
def test_encoder_alone__pretrained_on_imagenet(names):
    """As mit_b0.pth of the authors, with a classifier, or nvidia/mit-b0."""
    whole = names(of_transformers().state_dict())
    prefix = 'backbone.' if names is authors else ''
    state = {name.removeprefix(prefix): tensor for name, tensor in whole.items() if not name.startswith('decode_head.')}
    backbone, network = TimmPyramid(**SIZES).eval(), ours().eval()
    report = load_weights(backbone, {**state, 'head.weight': torch.ones(10, 32), 'head.bias': torch.ones(10)})
    assert not report.missing and {'head.weight', 'head.bias'} <= set(report.left)
    load_weights(network, whole)
    images = torch.randn(1, 3, *SIZE)
    assert_close(backbone(images), network.backbone(images))


def test_openmmlab_encoder_alone():
    reference, backbone = of_mmseg().backbone, TimmPyramid(**SIZES).eval()
    load_weights(backbone, reference.state_dict())
    images = torch.randn(1, 3, *SIZE)
    assert_close(backbone(images), reference(images))
