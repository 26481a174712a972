"""Checkpoints of hierarchical backbones under the names of timm, of their authors and of OpenMMLab."""
from __future__ import annotations

import re

import pytest
import timm
import torch
from randomised import randomise

from densevit import TimmPyramid, load_weights
from densevit.registry import MODELS
from densevit.weights.load_report import WeightsError

SIZES = dict(depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
SWIN = dict(name='swin_tiny_patch4_window7_224', embed_dim=24, **SIZES)
CONVNEXT = dict(name='convnext_atto', depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), use_grn=False, ls_init_value=1e-6)
CONVNEXTV2 = dict(name='convnextv2_atto', depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))
PVT = dict(name='pvt_v2_b0', depths=(1, 1, 1, 1), embed_dims=(16, 16, 32, 32), num_heads=(1, 1, 2, 2))
RESNET = dict(name='resnet10t')


def _reference(options: dict, **more) -> torch.nn.Module:
    """timm's whole classifier with random weights."""
    options = {**options, **more}
    return randomise(timm.create_model(options.pop('name'), num_classes=7, **options))


def _official_swin(state: dict) -> dict:
    """Microsoft's names: a stage ends with the merge that timm's next stage begins with; the head is one layer."""
    state = {re.sub(r'layers\.(\d+)\.downsample', lambda match: f'layers.{int(match[1]) - 1}.downsample', name):
             tensor for name, tensor in state.items()}
    state['layers.0.blocks.0.attn.relative_position_index'] = torch.zeros(49, 49, dtype=torch.long)
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(4, 49, 49)
    return {name.replace('head.fc.', 'head.'): tensor for name, tensor in state.items()}


def _official_convnext(state: dict) -> dict:
    rules = ((r'head\.fc\.', 'head.'), (r'head\.norm\.', 'norm.'), (r'^stem\.', 'downsample_layers.0.'),
             (r'stages\.(\d+)\.downsample\.', r'downsample_layers.\1.'), (r'\.blocks\.', '.'), ('conv_dw', 'dwconv'),
             (r'mlp\.fc(\d)', r'pwconv\1'), (r'mlp\.grn\.bias', 'grn.beta'), (r'mlp\.grn\.weight', 'grn.gamma'))
    result = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        result[name] = tensor[None, None, None] if 'grn' in name else tensor
    return result


def _official_pvt(state: dict) -> dict:
    def rename(name: str) -> str:
        name = re.sub(r'^patch_embed\.', 'patch_embed1.', name)
        name = re.sub(r'stages\.(\d+)\.downsample', lambda match: f'patch_embed{int(match[1]) + 1}', name)
        name = re.sub(r'stages\.(\d+)\.blocks', lambda match: f'block{int(match[1]) + 1}', name)
        name = re.sub(r'stages\.(\d+)\.norm', lambda match: f'norm{int(match[1]) + 1}', name)
        return name.replace('dwconv', 'dwconv.dwconv')

    return {rename(name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(('options', 'rename'), [
    (SWIN, dict), (CONVNEXT, dict), (PVT, dict), (RESNET, dict), (SWIN, _official_swin), (CONVNEXT, _official_convnext),
    (CONVNEXTV2, _official_convnext), (PVT, _official_pvt)],
    ids=lambda value: value['name'] if isinstance(value, dict) else value.__name__)
def test_outputs__equal_those_of_the_checkpoint(options, rename):
    reference = _reference(options)
    backbone = TimmPyramid(**options).eval()
    state = rename(reference.state_dict())
    for prefix in ('', 'backbone.'):
        report = load_weights(randomise(backbone), {prefix + name: tensor for name, tensor in state.items()})
        assert not report.missing and any('head' in name or 'fc' in name for name in report.left)
    size = (224, 224) if 'swin' in options['name'] else (64, 96)
    if 'swin' in options['name']:  # as the classifier: the last stage is one window, whose blocks do not shift
        backbone.trunk.layers[-1].blocks[1].shift_size = (0, 0)
    images = torch.randn(1, 3, *size)
    expected = reference.forward_intermediates(images, intermediates_only=True)[-4:]
    for ours, theirs in zip(backbone(images), expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-4 * theirs.std()


@pytest.mark.parametrize('norm_out', [True, False])
def test_openmmlab_swin(norm_out):
    """mmdetection's Swin, its merges of patches in the order of nn.Unfold, at an odd size with windows to fill up."""
    from mmdet.models.backbones import SwinTransformer  # after densevit, whose operators it needs
    reference = SwinTransformer(embed_dims=24, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
    randomise(reference)  # whose eval() gives None
    backbone = TimmPyramid(**SWIN, norm_out=norm_out).eval()
    report = load_weights(backbone, {f'backbone.{name}': tensor for name, tensor in reference.state_dict().items()})
    assert report.naming == 'OpenMMLab Swin' and not report.missing
    if not norm_out:
        assert {'norm0.weight', 'norm3.bias'} <= set(report.left)
        return
    images = torch.randn(2, 3, 161, 250)
    for ours, theirs in zip(backbone(images), reference(images), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-4 * theirs.std()


def test_official_swin_for_dense_tasks__has_norms():
    """The norms after the levels that were taken are found by the stage they belong to."""
    state = _official_swin(_reference(SWIN).state_dict())
    norms = {f'norm{level}.{kind}': torch.randn(24 * 2**level) for level in range(4) for kind in ('weight', 'bias')}
    backbone = TimmPyramid(**SWIN, norm_out=True, out_indices=(1, 3))
    report = load_weights(backbone, {**{k: v for k, v in state.items() if not k.startswith('norm.')}, **norms})
    assert torch.equal(backbone.norms[1].weight, norms['norm3.weight']) and not report.missing
    assert {'norm0.weight', 'norm2.bias'} <= set(report.left)
    # a classifier's checkpoint has none: the model keeps its own
    assert set(load_weights(backbone, state).missing) == {f'norms.{i}.{kind}' for i in (0, 1)
                                                          for kind in ('weight', 'bias')}


def test_positions__are_resized_as_timm_does_and_it_is_said():
    reference = _reference(SWIN)
    backbone = TimmPyramid(**SWIN, window_size=12, img_size=384)
    report = load_weights(backbone, reference.state_dict())
    assert '8 resized by timm' in report.naming
    assert backbone.trunk.layers[0].blocks[0].attn.relative_position_bias_table.shape[0] == 23**2


def test_own_checkpoints__with_and_without_norms():
    backbone, other = TimmPyramid(**CONVNEXT, norm_out=True), TimmPyramid(**CONVNEXT)
    assert load_weights(TimmPyramid(**CONVNEXT, norm_out=True), backbone.state_dict()).naming == "the model's own"
    assert not load_weights(backbone, other.state_dict()).left
    assert len(load_weights(other, backbone.state_dict(), strict=False).left) == 8


def test_other_networks__are_refused_and_nothing_is_changed():
    backbone = TimmPyramid(**CONVNEXT)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    for state in (_reference(PVT).state_dict(), _reference(CONVNEXT, dims=(8, 16, 24, 40)).state_dict()):
        with pytest.raises(WeightsError):
            load_weights(backbone, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


def test_registry__builds_it_with_init_cfg(tmp_path):
    reference = _reference(RESNET)
    torch.save(reference.state_dict(), tmp_path / 'resnet.pth')
    backbone = MODELS.build(dict(type='densevit.TimmPyramid', **RESNET, frozen_stages=1,
                                 init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))))
    backbone.init_weights()
    assert torch.equal(backbone.trunk.layer4[0].conv1.weight, reference.layer4[0].conv1.weight)


def test_our_own_with_norms__at_another_window():
    """timm resizes the tables, and the norms beside the trunk come along."""
    source = randomise(TimmPyramid(**SWIN, norm_out=True))
    backbone = TimmPyramid(**SWIN, norm_out=True, window_size=12, img_size=384)
    for prefix in ('', 'backbone.', 'model.', 'detector.backbone.'):
        backbone.norms[3].bias.zero_()
        report = load_weights(backbone, {prefix + name: tensor for name, tensor in source.state_dict().items()})
        assert not report.missing and not report.left and '8 resized by timm' in report.naming
        assert torch.equal(backbone.norms[3].bias, source.norms[3].bias)


def test_any_prefix():
    state = _official_swin(_reference(SWIN).state_dict())
    for prefix in ('model.', 'detector.backbone.'):
        others = {'neck.weight': torch.ones(1)}
        given = {prefix + name: tensor for name, tensor in state.items()}
        assert not load_weights(TimmPyramid(**SWIN), {**given, **others}).missing


def test_other_sizes__are_compared():
    deeper = _reference({**SWIN, 'depths': (2, 2, 4, 2)}).state_dict()
    wider = _reference({**SWIN, 'embed_dim': 32}).state_dict()
    for state, said in ((deeper, r'only in the checkpoint: trunk\.layers\.2\.blocks\.2'),
                        (_official_swin(deeper), r'trunk\.layers\.2\.blocks\.2'),
                        (wider, r'32x3x4x4 in the checkpoint, 24x3x4x4 in the model')):
        with pytest.raises(WeightsError, match=rf'build the model with the sizes (.|\n)*{said}'):
            load_weights(TimmPyramid(**SWIN), state)
