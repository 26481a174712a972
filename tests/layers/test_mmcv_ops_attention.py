"""Multi-scale deformable attention, against loops written from arXiv:2010.04159, eq. 3."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction  # noqa: E402  (after the operators)

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


def sample(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear on `plane` (H, W, D), pixel centres at +0.5, 0 outside."""
    y, x = y * plane.shape[0] - 0.5, x * plane.shape[1] - 0.5
    y0, x0 = int(torch.floor(y)), int(torch.floor(x))
    value = plane.sum((0, 1)) * 0
    for i in (y0, y0 + 1):
        for j in (x0, x0 + 1):
            if 0 <= i < plane.shape[0] and 0 <= j < plane.shape[1]:
                value = value + plane[i, j] * (1 - (y - i).abs()) * (1 - (x - j).abs())
    return value


def attention_loops(value: Tensor, points: Tensor, weights: Tensor) -> Tensor:
    parts = value.split([h * w for h, w in SHAPES], 1)
    maps = [part.unflatten(1, size) for part, size in zip(parts, SHAPES, strict=True)]
    out = []
    for b in range(BATCH):
        for q in range(QUERIES):
            for m in range(HEADS):
                total = 0.0
                for level, plane in enumerate(maps):
                    for p in range(POINTS):
                        x, y = points[b, q, m, level, p]
                        total = total + weights[b, q, m, level, p] * sample(plane[b, :, :, m], y, x)
                out.append(total)
    return torch.stack(out).view(BATCH, QUERIES, HEADS * DIM)


def test_attention_matches_loops_with_gradients():
    value, shapes, start, points, weights = random_case()
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, start, points, weights, 64)
    expected = attention_loops(value, points, weights)
    torch.testing.assert_close(out, expected)
    direction = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    leaves = (value, points, weights)
    ours, theirs = (torch.autograd.grad(o, leaves, direction) for o in (out, expected))
    torch.testing.assert_close(ours, theirs)


def test_attention_gradcheck():
    value, shapes, start, points, weights = random_case()
    torch.autograd.gradcheck(
        lambda v, p, w: MultiScaleDeformableAttnFunction.apply(v, shapes, start, p, w, 64), (value, points, weights)
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_attention_in_other_dtypes(dtype):
    value, shapes, start, points, weights = random_case(dtype)
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, start, points, weights, 64)
    assert out.dtype == dtype
    exact = attention_loops(value.double(), points.double(), weights.double())
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)
    out.float().square().sum().backward()
    assert all(t.grad.dtype == dtype and t.grad.isfinite().all() for t in (value, points, weights))


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


def test_module_gives_the_same_through_the_operator_and_through_mmcvs_own_fallback(monkeypatch):
    """The module takes its PyTorch path for tensors on the CPU; the operator is what it calls on a GPU."""
    module, inputs = module_case('cpu')
    expected = module(**inputs)

    def through_operator(value, shapes, points, weights):
        return MultiScaleDeformableAttnFunction.apply(value, shapes, inputs['level_start_index'], points, weights, 64)

    where = 'mmcv.ops.multi_scale_deform_attn.multi_scale_deformable_attn_pytorch'
    monkeypatch.setattr(where, through_operator)
    torch.testing.assert_close(module(**inputs), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_module_on_cuda_equals_cpu():
    results = []
    for device in ('cpu', 'cuda'):
        module, inputs = module_case(device)
        out = module(**inputs)
        out.square().sum().backward()
        results.append([out.detach().cpu()] + [p.grad.cpu() for p in module.parameters()])
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)
