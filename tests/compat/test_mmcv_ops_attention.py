"""Multi-scale deformable attention of densevit under mmcv's names: what mmcv calls on a GPU and what it calls on a CPU.

That it is right is the matter of test_deformable_attention.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from densevit.compat import MMCVExtStandIn, install_mmcv_ops
from densevit.compat.mmcv_ops.deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from densevit.layers import multi_scale_deformable_attention

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')
from mmcv.ops import multi_scale_deform_attn as mmcv_module  # noqa: E402  (after the operators)

SHAPES = [(4, 6), (3, 2), (1, 3)]
BATCH, QUERIES, HEADS, POINTS, DIM = 2, 5, 2, 3, 4


def random_case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens, levels = sum(h * w for h, w in SHAPES), len(SHAPES)
    value = torch.randn(BATCH, tokens, HEADS, DIM, dtype=torch.float64, generator=generator)
    # Some of the points lie outside of the image.
    points = torch.rand(BATCH, QUERIES, HEADS, levels, POINTS, 2, dtype=torch.float64, generator=generator) * 1.4 - 0.2
    weights = torch.rand(BATCH, QUERIES, HEADS, levels, POINTS, dtype=torch.float64, generator=generator)
    shapes = torch.tensor(SHAPES)
    start = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    tensors = [t.to(dtype).requires_grad_() for t in (value, points, weights)]
    return tensors[0], shapes, start, tensors[1], tensors[2]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_operator_in_mmcvs_function(dtype):
    value, shapes, start, points, weights = random_case(dtype)
    leaves = value, points, weights
    out = mmcv_module.MultiScaleDeformableAttnFunction.apply(value, shapes, start, points, weights, 64)
    expected = multi_scale_deformable_attention(value, SHAPES, points, weights)
    torch.testing.assert_close(out, expected)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    torch.testing.assert_close(*(torch.autograd.grad(o, leaves, direction) for o in (out, expected)))


def test_operators_backward_adds_to_its_buffers():
    value, shapes, start, points, weights = (t.detach() for t in random_case())
    grad = torch.ones_like(ms_deform_attn_forward(value, shapes, start, points, weights, 64))
    zeros, ones = ([torch.full_like(t, fill) for t in (value, points, weights)] for fill in (0.0, 1.0))
    for buffers in zeros, ones:
        ms_deform_attn_backward(value, shapes, start, points, weights, grad, *buffers, 64)
    torch.testing.assert_close([t + 1 for t in zeros], ones)


@pytest.mark.parametrize('as_on_a_gpu', [False, True])
def test_points_one_pixel_ahead_of_a_map_have_no_slope(as_on_a_gpu, monkeypatch):
    """As in mmcv's kernel; offsets of whole pixels around the centre of one are what a network starts with."""
    if as_on_a_gpu:
        monkeypatch.setattr('densevit.layers.deformable_attention._is_exporting', lambda: True)
    value, weights = torch.ones(1, 4, 1, 1), torch.ones(1, 1, 1, 1, 4)
    points = torch.tensor([[-0.25, 0.25], [0.25, -0.25], [-0.25, -0.25], [0.0, 0.25]]).view(1, 1, 1, 1, 4, 2)
    grads = [torch.zeros_like(t) for t in (value, points, weights)]
    level = torch.tensor([[2, 2]]), torch.tensor([0])
    ms_deform_attn_backward(value, *level, points, weights, torch.ones(1, 1, 1), *grads, 64)
    assert grads[1].view(4, 2).tolist() == [[0, 0], [0, 0], [0, 0], [2, 0]]


def module_case(device: str) -> tuple[torch.nn.Module, dict]:
    torch.manual_seed(0)
    module = ops.MultiScaleDeformableAttention(8, 2, len(SHAPES), POINTS, dropout=0.0, batch_first=True)
    torch.nn.init.normal_(module.attention_weights.weight)
    _, shapes, start, _, _ = random_case()
    inputs = dict(
        query=torch.randn(BATCH, QUERIES, 8),
        value=torch.randn(BATCH, int(shapes.prod(1).sum()), 8),
        reference_points=torch.rand(BATCH, QUERIES, len(SHAPES), 2),
        spatial_shapes=shapes,
        level_start_index=start,
    )
    return module.to(device), {name: tensor.to(device) for name, tensor in inputs.items()}


def results(module: torch.nn.Module, inputs: dict) -> list[Tensor]:
    module.zero_grad()
    out = module(**inputs)
    out.square().sum().backward()
    return [out.detach().cpu()] + [p.grad.cpu() for p in module.parameters()]


def test_stock_module_on_a_cpu_runs_ours(monkeypatch):
    if not isinstance(mmcv_module.ext_module, MMCVExtStandIn):
        pytest.skip('mmcv is compiled here')
    called = []
    where = 'densevit.compat.mmcv_ops.deformable_attention.multi_scale_deformable_attention'
    monkeypatch.setattr(where, lambda *args: called.append(args) or multi_scale_deformable_attention(*args))
    module, inputs = module_case('cpu')
    ours = results(module, inputs)
    assert len(called) == 1
    monkeypatch.setattr(mmcv_module, 'multi_scale_deformable_attn_pytorch', mmcv_module.replaced)
    theirs = results(module, inputs)
    assert len(called) == 1
    torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_module_on_cuda_equals_cpu():
    cpu, cuda = (results(*module_case(device)) for device in ('cpu', 'cuda'))
    torch.testing.assert_close(cpu, cuda, rtol=1e-4, atol=1e-5)
