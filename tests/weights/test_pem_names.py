"""Checkpoints of PEM's authors: detectron2's ResNet and their head. The head is compared in test_pem.py."""
from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from official import assert_close, importable, repository
from randomised import randomise
from torch import nn

from densevit import TimmPyramid, load_weights
from densevit.networks.segmentation import PEM
from densevit.weights.load_report import WeightsError
from densevit.weights.names.detectron2_resnet import from_detectron2_resnet

SIZES = dict(num_queries=5, embed_dim=32, num_heads=2, decoder_layers=2, ffn_dim=32, pixel_dim=16, mask_dim=24)


class _Conv(nn.Conv2d):
    """detectron2's: a convolution that holds the norm behind it."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norm = norm

    def forward(self, x):
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


class _Block(nn.Module):

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride


class _Registry:

    def register(self) -> Callable:
        return lambda thing: thing


def detectron2_resnet(depth: int) -> nn.Module:
    """detectron2's ResNet, with the stride of PEM's configs."""
    package = repository('detectron2') / 'detectron2'
    backbone = 'detectron2.modeling.backbone'
    stubs = {
        'fvcore.nn.weight_init': dict(c2_msra_fill=lambda module: None),
        'detectron2.layers': dict(CNNBlockBase=_Block, Conv2d=_Conv, DeformConv=None, ModulatedDeformConv=None,
                                  ShapeSpec=SimpleNamespace, get_norm=lambda norm, width: nn.BatchNorm2d(width)),
        backbone: {},
        f'{backbone}.backbone': dict(Backbone=nn.Module),
        f'{backbone}.build': dict(BACKBONE_REGISTRY=_Registry()),
    }
    with importable(stubs=stubs):
        sys.modules[backbone].__path__ = [str(package / 'modeling' / 'backbone')]
        module = import_module(f'{backbone}.resnet')
        stages = module.ResNet.make_default_stages(depth, **(dict(stride_in_1x1=False) if depth > 34 else {}))
        return module.ResNet(module.BasicStem(), stages, out_features=['res2', 'res3', 'res4', 'res5'])


@pytest.mark.parametrize('depth', [18, 50])
@torch.no_grad()
def test_official_resnet__same_maps(depth):
    official = detectron2_resnet(depth)
    for tensor in official.state_dict().values():
        if tensor.is_floating_point():  # as large as after training
            tensor.copy_(torch.randn_like(tensor) / max(1, tensor[0].numel())**.5)
    for name, tensor in official.state_dict().items():
        if 'running_var' in name:
            tensor.abs_().add_(.5)
    ours = TimmPyramid(f'resnet{depth}').eval()
    load_weights(ours, from_detectron2_resnet(official.state_dict()))
    images = torch.randn(1, 3, 64, 96)
    assert_close(ours(images), list(official.eval()(images).values()))


def network() -> PEM:
    return PEM(TimmPyramid('resnet18'), 4, **SIZES)


# From ours, to write a checkpoint as the authors' code does.
TO_OFFICIAL = (
    (r'^backbone\.trunk\.conv1\.', 'backbone.stem.conv1.'),
    (r'^backbone\.trunk\.bn1\.', 'backbone.stem.conv1.norm.'),
    (r'^backbone\.trunk\.layer(\d)\.', lambda match: f'backbone.res{int(match[1]) + 1}.'),
    (r'^(backbone\.res.+)\.bn(\d)\.', r'\1.conv\2.norm.'),
    (r'^(backbone\.res.+)\.downsample\.0\.', r'\1.shortcut.'),
    (r'^(backbone\.res.+)\.downsample\.1\.', r'\1.shortcut.norm.'),
    (r'^pixel_decoder\.(project\.\d|context|mask_features)\.0\.', r'pixel_decoder.\1.conv.'),
    (r'^pixel_decoder\.(project\.\d|context|mask_features)\.1\.', r'pixel_decoder.\1.bn.'),
    (r'^pixel_decoder\.project', 'pixel_decoder.in_projections'),
    (r'^pixel_decoder\.context', 'pixel_decoder.conv_avg'),
    (r'^pixel_decoder\.mask_features', 'pixel_decoder.out'),
    (r'^pixel_decoder\.modulate\.(\d)\.weigh', lambda match: f'pixel_decoder.csm.{3 - int(match[1])}.mlp.0.mlp'),
    (r'^pixel_decoder\.refine\.(\d)', lambda match: f'pixel_decoder.dcn.{2 - int(match[1])}'),
    (r'(dcn\.\d)\.conv\.offset', r'\1.dcn_offset'),
    (r'(dcn\.\d)\.conv\.weight', r'\1.dcn.weight'),
    (r'(dcn\.\d)\.norm', r'\1.dcn_bn'),
    (r'(dcn\.\d)\.up_norm', r'\1.up_bn'),
    (r'(dcn\.\d)\.up\.', r'\1.up_sample.'),
    (r'^layers\.(\d)\.cross_attn\.', r'predictor.transformer_cross_attention_layers.\1.'),
    (r'(cross.+)\.tokens\.conv', r'\1.feature_proj.to_query_3x3'),
    (r'(cross.+)\.tokens\.norm', r'\1.feature_proj.bn'),
    (r'(cross.+)\.tokens\.proj', r'\1.feature_proj.out'),
    (r'(cross.+\d)\.query\.', r'\1.query_proj.'),
    (r'(cross.+\d)\.modulation\.', r'\1.proj.'),
    (r'(cross.+\d)\.out\.', r'\1.final.'),
    (r'(cross.+\d)\.scale', r'\1.alpha'),
    (r'^layers\.(\d)\.self_attn\.', r'predictor.transformer_self_attention_layers.\1.self_attn.'),
    (r'^layers\.(\d)\.norm1\.', r'predictor.transformer_self_attention_layers.\1.norm.'),
    (r'^layers\.(\d)\.norm2\.', r'predictor.transformer_ffn_layers.\1.norm.'),
    (r'^layers\.(\d)\.ffn\.fc', r'predictor.transformer_ffn_layers.\1.linear'),
    (r'^project\.', 'predictor.input_proj.'),
    (r'^level_embed\.', 'predictor.level_embed.'),
    (r'^query\.', 'predictor.query_feat.'),
    (r'^query_pos\.', 'predictor.query_embed.'),
    (r'^norm\.', 'predictor.decoder_norm.'),
    (r'^class_head\.', 'predictor.class_embed.'),
    (r'^mask_head\.(\d)\.', lambda match: f'predictor.mask_embed.layers.{int(match[1]) // 2}.'),
    (r'^(pixel_decoder|predictor)\.', r'sem_seg_head.\1.'),
)


def official_state(model: PEM) -> dict[str, torch.Tensor]:
    result, parts = {'criterion.empty_weight': torch.ones(5)}, {}
    for name, tensor in model.state_dict().items():
        for pattern, new in TO_OFFICIAL:
            name = re.sub(pattern, new, name)
        if match := re.fullmatch(r'(.+self_attn)\.([qkv])_proj\.(.+)', name):
            parts.setdefault(f'{match[1]}.in_proj_{match[3]}', []).append(tensor)
        else:
            result[name] = tensor.view(1, 1, -1) if name.endswith('alpha') else tensor
    return {**result, **{name: torch.cat(tensors) for name, tensors in parts.items()}}


def test_authors__every_tensor():
    source, model = randomise(network(), seed=1), network()
    report = load_weights(model, official_state(source))
    assert 'PEM' in report.naming and list(report.left) == ['criterion.empty_weight']
    torch.testing.assert_close(dict(model.state_dict()), dict(source.state_dict()))


def test_authors__frozen_batch_norms_count_no_batches():
    source, model = randomise(network(), seed=1), network()
    state = {name: x for name, x in official_state(source).items() if not (
        name.startswith('backbone.') and name.endswith('num_batches_tracked'))}
    report = load_weights(model, state)
    assert not report.missing
    torch.testing.assert_close(model.backbone.trunk.bn1.running_var, source.backbone.trunk.bn1.running_var)


def test_authors__another_width_is_no_other_number_of_classes():
    with pytest.raises(WeightsError, match='query.weight: 5x32') as error:
        load_weights(PEM(TimmPyramid('resnet18'), 4, **{**SIZES, 'embed_dim': 64}), official_state(network()))
    assert not re.search('set num_(classes|queries)', str(error.value))


def test_authors__another_number_of_classes():
    source, model = randomise(network(), seed=1), PEM(TimmPyramid('resnet18'), 9, **SIZES)
    with pytest.raises(WeightsError, match='class_head'):
        load_weights(model, official_state(source))
    before = model.class_head.weight.clone()
    load_weights(model, official_state(source), load_class_head=False)
    torch.testing.assert_close(model.class_head.weight, before)
    torch.testing.assert_close(model.query.weight, source.query.weight)
