"""Names of depth checkpoints; tests/networks/depth compares what networks compute with them.

Licences are told where they are loaded; files of older versions and heads without a backbone load too.
"""
import re

import pytest
import torch
from randomised import randomise

from densevit import PlainViT, load_weights
from densevit.networks.depth import DPTDepth, LinearDepth
from densevit.weights import WeightsError

VIT = dict(embed_dim=32, depth=4, num_heads=2, out_indices=(0, 1, 2, 3))
OPTIONS = dict(channels=(8, 12, 16, 20), width=16)
DINOV2 = dict(VIT, name='vit_small_patch14_dinov2', img_size=56)


def build(backbone, **options):
    return randomise(DPTDepth(PlainViT(**backbone), **{**OPTIONS, **options}), 1)


def authors(network, head='depth_head.', trunk='pretrained.'):
    """A checkpoint of Depth Anything with the values of a network."""
    names = ((r'decoder\.reassemble\.(\d)\.project\.', r'projects.\1.'),
             (r'decoder\.reassemble\.(\d)\.resize\.', r'resize_layers.\1.'),
             (r'decoder\.project\.(\d)\.', lambda match: f'scratch.layer{int(match[1]) + 1}_rn.'),
             (r'decoder\.fusion\.(\d)\.', lambda match: f'scratch.refinenet{4 - int(match[1])}.'),
             (r'\.project\.(?=weight|bias)', '.out_conv.'), (r'\.skip\.', '.resConfUnit1.'),
             (r'\.refine\.', '.resConfUnit2.'), (r'^reduce\.', 'scratch.output_conv1.'),
             (r'^predict\.', 'scratch.output_conv2.'), (r'^sky\.', 'scratch.sky_output_conv2.'))
    state = {}
    for name, tensor in network.state_dict().items():
        if name.startswith('backbone.trunk.'):
            state[trunk + name.removeprefix('backbone.trunk.')] = tensor
            continue
        for pattern, new in names:
            name = re.sub(pattern, new, name)
        state[head + name] = tensor
    return state


def assert_loads(network, state):
    other = randomise(build_like(network), 2)
    report = load_weights(other, state)
    assert not report.missing
    torch.testing.assert_close(dict(other.state_dict()), dict(network.state_dict()), rtol=0, atol=0)
    return report


def build_like(network):
    return type(network)(PlainViT(**network.made), **network.options)


def made(backbone, **options):
    network = build(backbone, **options)
    network.made, network.options = backbone, {**OPTIONS, **options}
    return network


def test_depth_anything_and_its_terms():
    small = made(DINOV2, readout='ignore', kind='relative_disparity')
    assert 'Apache-2.0' in str(assert_loads(small, authors(small)))
    large = made(dict(DINOV2, embed_dim=512, depth=1, out_indices=(0, 0, 0, 0)), readout='ignore',
                 kind='relative_disparity')
    assert 'V1: Apache-2.0; V2: CC-BY-NC-4.0' in str(assert_loads(large, authors(large)))
    metric = made(DINOV2, readout='ignore', activation='sigmoid', max_depth=20.)
    assert 'without terms' in str(assert_loads(metric, authors(metric)))


def test_depth_anything_3_of_one_view_and_of_several():
    network = made(DINOV2, readout='ignore', kind='relative_depth', activation='exp', sky=True)
    state = authors(network, 'model.head.', 'model.backbone.pretrained.')
    assert 'Depth Anything 3 (Apache-2.0)' in str(assert_loads(network, state))
    with pytest.raises(WeightsError, match='reads several views and cameras; take DA3MONO-LARGE'):
        load_weights(network, {**state, 'model.cam_dec.fc_t.weight': torch.zeros(3, 3)})


def test_names_of_older_transformers():
    """Those of the files on the hub."""
    transformers = pytest.importorskip('transformers')
    beit = transformers.BeitConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64,
        use_relative_position_bias=True, use_mask_token=False, out_indices=[1, 2, 3, 4], reshape_hidden_states=False)
    theirs = randomise(transformers.DPTForDepthEstimation(transformers.DPTConfig(
        backbone_config=beit, neck_hidden_sizes=[8, 12, 16, 20], fusion_hidden_size=16)))
    old = theirs.state_dict()
    for pattern, new in ((r'backbone\.beit\.layers\.(\d+)', r'backbone.encoder.layer.\1'),
                         (r'backbone\.beit', 'backbone'), (r'attention\.q_proj', 'attention.attention.query'),
                         (r'attention\.k_proj', 'attention.attention.key'),
                         (r'attention\.v_proj', 'attention.attention.value'),
                         (r'attention\.o_proj', 'attention.output.dense'),
                         (r'(\d)\.relative_position_bias', r'\1.attention.attention.relative_position_bias'),
                         (r'mlp\.fc1', 'intermediate.dense'), (r'mlp\.fc2', 'output.dense')):
        old = {re.sub(pattern, new, name): tensor for name, tensor in old.items()}
    attention = 'backbone.encoder.layer.0.attention.attention'
    old[f'{attention}.relative_position_bias.relative_position_index'] = torch.zeros(17, 17)
    backbone = dict(VIT, name='beit_base_patch16_224', img_size=64, init_values=1., norm_out=False)
    new_names, old_names = build(backbone), randomise(build(backbone), 3)
    load_weights(new_names, theirs.state_dict())
    assert not load_weights(old_names, old).missing
    torch.testing.assert_close(dict(old_names.state_dict()), dict(new_names.state_dict()), rtol=0, atol=0)


def test_heads_of_dinov2_are_published_alone_and_leave_the_backbone():
    network = randomise(LinearDepth(PlainViT(**DINOV2, norm_out=False), bins=dict(num_bins=8), max_depth=10.))
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    report = load_weights(network, dict(state_dict={'decode_head.conv_depth.weight': torch.ones(8, 256, 1, 1),
                                                    'decode_head.conv_depth.bias': torch.ones(8)}))
    assert network.predict.weight.eq(1).all() and set(report.kept) == {f'backbone.{name}' for name in before}
    torch.testing.assert_close(dict(network.backbone.state_dict()), before, rtol=0, atol=0)


def test_levels_that_are_normed_are_not_filled_from_those_that_are_not():
    network = build(dict(VIT, img_size=64))
    state = {f'pretrained.model.{name.removeprefix("backbone.trunk.")}': tensor
             for name, tensor in network.state_dict().items() if name.startswith('backbone.')}
    with pytest.raises(WeightsError, match='backbone.trunk.norm'):
        load_weights(network, {**state, 'scratch.output_conv.0.weight': torch.zeros(8, 16, 3, 3)})
