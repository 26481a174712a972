"""Deformable convolutions through `mmcv.ops`, against loops written from the papers."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')

GEOMETRIES = {
    'plain': dict(kernel_size=3, padding=1),
    'strided': dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 0)),
    'dilated': dict(kernel_size=3, padding=2, dilation=2),
    'grouped': dict(kernel_size=3, padding=1, groups=2, deform_groups=4),
}


def sample(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear between the pixel at or above and to the left and the next, 0 outside; no slope a pixel outside."""
    value, (height, width) = plane.sum() * 0, plane.shape
    if y <= -1 or x <= -1 or y >= height or x >= width:
        return value
    i, j = int(torch.floor(y)), int(torch.floor(x))
    for row, share in ((i, 1 - (y - i)), (i + 1, y - i)):
        for column, part in ((j, 1 - (x - j)), (j + 1, x - j)):
            if 0 <= row < height and 0 <= column < width:
                value = value + plane[row, column] * share * part
    return value


def convolve_loops(conv: nn.Module, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
    """Every output is a sum over the kernel of weight * mask * x(position + offset), in its groups."""
    weight, (kh, kw) = conv.weight, conv.kernel_size
    batch, height, width = len(offset), *offset.shape[2:]
    per_group = x.shape[1] // conv.groups
    per_deform = x.shape[1] // conv.deform_groups
    offset = offset.view(batch, conv.deform_groups, kh, kw, 2, height, width)
    scale = torch.ones_like(offset[:, :, :, :, 0]) if mask is None else mask.view(batch, -1, kh, kw, height, width)
    columns = []  # the sampled input, in the order of the loops
    for b, c, i, j, h, w in product(*map(range, (batch, x.shape[1], kh, kw, height, width))):
        shift = offset[b, c // per_deform, i, j, :, h, w]
        y = h * conv.stride[0] - conv.padding[0] + i * conv.dilation[0] + shift[0]
        z = w * conv.stride[1] - conv.padding[1] + j * conv.dilation[1] + shift[1]
        columns.append(sample(x[b, c], y, z) * scale[b, c // per_deform, i, j, h, w])
    columns = torch.stack(columns).view(batch, conv.groups, per_group, kh, kw, height, width)
    kernels = weight.view(conv.groups, -1, per_group, kh, kw)
    return torch.einsum('bgcijhw,gocij->bgohw', columns, kernels).flatten(1, 2)


def out_size(conv: nn.Module, x: Tensor) -> tuple[int, int]:
    shape = F.conv2d(x[:, :1], x.new_zeros(1, 1, *conv.kernel_size), None, conv.stride, conv.padding, conv.dilation)
    return tuple(shape.shape[2:])


def random_case(conv: nn.Module, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 4, 3, 4, dtype=torch.float64, generator=generator)
    taps = conv.kernel_size[0] * conv.kernel_size[1] * conv.deform_groups
    size = out_size(conv, x)
    offset = torch.randn(2, 2 * taps, *size, dtype=torch.float64, generator=generator) * 1.5
    mask = torch.rand(2, taps, *size, dtype=torch.float64, generator=generator)
    return x.requires_grad_(), offset.requires_grad_(), mask.requires_grad_()


def assert_same_gradients(out: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    direction = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    ours = torch.autograd.grad(out, leaves, direction)
    theirs = torch.autograd.grad(expected, leaves, direction)
    for one, other in zip(ours, theirs, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_deform_conv_matches_loops_with_gradients(geometry):
    torch.manual_seed(0)
    conv = ops.DeformConv2d(4, 6, **GEOMETRIES[geometry]).double()
    x, offset, _ = random_case(conv)
    out, expected = conv(x, offset), convolve_loops(conv, x, offset)
    torch.testing.assert_close(out, expected)
    assert_same_gradients(out, expected, [x, offset, conv.weight])


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_modulated_deform_conv_matches_loops_with_gradients(geometry):
    for bias in [True, False]:
        torch.manual_seed(0)
        conv = ops.ModulatedDeformConv2d(4, 6, bias=bias, **GEOMETRIES[geometry]).double()
        x, offset, mask = random_case(conv)
        out, expected = conv(x, offset, mask), convolve_loops(conv, x, offset, mask)
        leaves = [x, offset, mask, conv.weight]
        if bias:
            nn.init.normal_(conv.bias)
            out, expected = conv(x, offset, mask), expected + conv.bias[:, None, None]
            leaves.append(conv.bias)
        torch.testing.assert_close(out, expected)
        assert_same_gradients(out, expected, leaves)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_gradients_where_samples_lie_on_pixels_and_on_the_border(geometry):
    """Whole offsets, zero as a network starts with and others: -1 is no image any more, without a slope."""
    for modulated in [True, False]:
        torch.manual_seed(0)
        make = ops.ModulatedDeformConv2d if modulated else ops.DeformConv2d
        conv = make(4, 6, bias=False, **GEOMETRIES[geometry]).double()
        x, offset, mask = random_case(conv)
        offset = offset.detach().trunc().requires_grad_()
        inputs = (x, offset, mask) if modulated else (x, offset)
        assert_same_gradients(conv(*inputs), convolve_loops(conv, *inputs), [*inputs, conv.weight])


def test_first_step_of_a_pack_is_that_of_mmcv():
    """The numbers of mmcv's own test (tests/test_ops/test_modulated_deform_conv.py), of its compiled operator."""
    x = torch.tensor([[[[1.0, 2.0, 3.0]] * 3]], requires_grad=True)
    pack = ops.ModulatedDeformConv2dPack(1, 1, 2, padding=1, bias=False)
    nn.init.ones_(pack.weight)
    out = pack(x)
    edge, inside = [0.5, 1.5, 2.5, 1.5], [1.0, 3.0, 5.0, 3.0]
    torch.testing.assert_close(out, torch.tensor([[[edge, inside, inside, edge]]]))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 2.0))
    torch.testing.assert_close(pack.weight.grad, torch.full_like(pack.weight, 9.0))
    torch.testing.assert_close(pack.conv_offset.bias.grad, torch.tensor([-3, -1.5] * 4 + [4.5] * 4))
    slopes = [
        [-7, -4, 0, 0], [-9, 7.5, -6, 5], [-4, -7, 0, 0], [-7.5, -9, -5, -6], [-7, -4, -7, -4], [-6, 5, -9, 7.5],
        [-4, -7, -4, -7], [-5, -6, -7.5, -9], [10.5, 6, 7, 4], [6, 10.5, 4, 7], [7, 4, 10.5, 6], [4, 7, 6, 10.5],
    ]  # fmt: skip
    torch.testing.assert_close(pack.conv_offset.weight.grad, torch.tensor(slopes).view(12, 1, 2, 2))


@pytest.mark.parametrize('name', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
def test_packs_gradcheck(name):
    """The packs predict their offsets; away from 0, where the bilinear kernel has a kink."""
    torch.manual_seed(0)
    pack = getattr(ops, name)(2, 3, 3, padding=1).double()
    nn.init.normal_(pack.conv_offset.weight, std=0.3)
    nn.init.uniform_(pack.conv_offset.bias, 0.2, 0.8)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(pack, (x,))


def test_zero_offsets_and_full_masks_are_a_convolution():
    torch.manual_seed(0)
    conv = ops.ModulatedDeformConv2d(4, 6, 3, padding=1, stride=2)
    x = torch.randn(2, 4, 9, 12)
    size = out_size(conv, x)
    out = conv(x, torch.zeros(2, 18, *size), torch.ones(2, 9, *size))
    torch.testing.assert_close(out, F.conv2d(x, conv.weight, conv.bias, 2, 1))


@pytest.mark.parametrize('name', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
def test_packs_in_other_dtypes(name):
    for dtype in [torch.float16, torch.bfloat16, torch.float32]:
        torch.manual_seed(0)
        pack = getattr(ops, name)(4, 6, 3, padding=1).double()
        nn.init.uniform_(pack.conv_offset.bias, 0.2, 0.8)
        x = torch.randn(2, 4, 7, 5, dtype=torch.float64)
        expected = pack(x)
        out = pack.to(dtype)(x.to(dtype))
        assert out.dtype == dtype
        tolerance = 40 * torch.finfo(dtype).eps
        torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)
        out.float().square().mean().backward()
        assert all(p.grad.dtype == dtype and p.grad.isfinite().all() and p.grad.any() for p in pack.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_modulated_deform_conv_on_cuda_equals_cpu(geometry):
    conv = ops.ModulatedDeformConv2d(4, 6, **GEOMETRIES[geometry]).double()
    leaves = random_case(conv)
    expected = conv(*leaves)
    grads = torch.autograd.grad(expected.square().sum(), leaves)
    on_gpu = [leaf.detach().cuda().requires_grad_() for leaf in leaves]
    out = conv.cuda()(*on_gpu)
    torch.testing.assert_close(out.cpu(), expected)
    for grad, leaf in zip(grads, torch.autograd.grad(out.square().sum(), on_gpu), strict=True):
        torch.testing.assert_close(leaf.cpu(), grad)
