"""torch.export of backbones and ONNX of networks, with open batch, height and width; see tests/networks/base.py too."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from randomised import randomise
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent / 'backbones'))
from trunk_families import build

from densevit.adapters import SimpleFeaturePyramid
from densevit.backbones import PlainViT
from densevit.networks.segmentation import EoMT, SegFormerNet

OPEN = ({0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}, )
VIT = dict(embed_dim=32, depth=2, num_heads=2, img_size=64)
# Batch, then height and width: the stored grid of positions, whole windows of 3 and others, and no whole patches.
SIZES = ((1, 64, 64), (3, 131, 95), (2, 96, 144))
MODELS = {
    'rotary positions': lambda: build('DINOv3', depth=1),
    'relative positions': lambda: build('BEiT', depth=1, img_size=64),
    'shifted windows': lambda: build('AugReg', depth=2, window_size=3, window_shift=True, img_size=64),
    'SAM': lambda: build('SAM', depth=1, global_attn_indexes=(0, )),
}


def example(model: nn.Module) -> Tensor:
    stride = getattr(model, 'stride', 16)
    return torch.randn(2, 3, 5 * stride, 7 * stride)


def assert_equal(answers: list[Tensor], model: nn.Module, images: Tensor) -> None:
    expected = torch.utils._pytree.tree_leaves(model(images))
    for ours, theirs in zip(answers, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.std().item())


@pytest.mark.parametrize('name', MODELS)
@torch.no_grad()
def test_exported_program_takes_every_batch_and_size(name):
    torch.manual_seed(0)
    model = randomise(MODELS[name]()).eval()
    program = torch.export.export(model, (example(model), ), dynamic_shapes=OPEN, strict=False).module()
    for size in SIZES:
        images = torch.randn(size[0], 3, *size[1:])
        assert_equal(torch.utils._pytree.tree_leaves(program(images)), model, images)


def eomt_with_masks() -> nn.Module:
    return EoMT(PlainViT(**dict(VIT, depth=1), pos_embed_offset=.1), 5, num_queries=6, num_blocks=1)


def segformer_on_a_pyramid() -> nn.Module:
    return SegFormerNet(SimpleFeaturePyramid(dict(VIT, depth=1), out_channels=8, scale_factors=(2., )), 5, width=16)


@pytest.mark.parametrize('build_model', [eomt_with_masks, segformer_on_a_pyramid], ids=['EoMT', 'SegFormer'])
@torch.no_grad()
def test_onnx_takes_every_batch_and_size(build_model, tmp_path):
    pytest.importorskip('onnxscript')
    runtime = pytest.importorskip('onnxruntime')
    torch.manual_seed(0)
    model = randomise(build_model()).eval()
    torch.onnx.export(model, (example(model), ), tmp_path / 'model.onnx', dynamo=True, dynamic_shapes=OPEN)
    session = runtime.InferenceSession(tmp_path / 'model.onnx')
    for size in SIZES:
        images = torch.randn(size[0], 3, *size[1:])
        answers = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        assert_equal([torch.from_numpy(x) for x in answers], model, images)
