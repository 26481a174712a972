"""CARAFE, PSA masks and masked convolution through `mmcv.ops`, against loops written from the definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from densevit.compat import install_mmcv_ops
from densevit.compat.mmcv_ops import OPS

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')

HEIGHT, WIDTH = 3, 5


def carafe_loops(x: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    batch, channels, height, width = x.shape
    out = []
    for b in range(batch):
        for c in range(channels):
            group = c // (channels // groups)
            for y in range(height * scale):
                for z in range(width * scale):
                    total = x.sum() * 0
                    for tap in range(kernel**2):
                        i, j = y // scale + tap // kernel - kernel // 2, z // scale + tap % kernel - kernel // 2
                        if 0 <= i < height and 0 <= j < width:
                            total = total + x[b, c, i, j] * masks[b, group * kernel**2 + tap, y, z]
                    out.append(total)
    return torch.stack(out).view(batch, channels, height * scale, width * scale)


def carafe_case(groups: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, HEIGHT, WIDTH, generator=generator, dtype=dtype)
    masks = torch.rand(2, groups * 9, 2 * HEIGHT, 2 * WIDTH, generator=generator, dtype=dtype)
    return x.requires_grad_(), masks.requires_grad_()


@pytest.mark.parametrize('groups', [1, 2])
@pytest.mark.parametrize('name', ['carafe', 'carafe_naive'])
def test_carafe_forward_matches_loops(name, groups):
    x, masks = carafe_case(groups)
    torch.testing.assert_close(getattr(ops, name)(x, masks, 3, groups, 2), carafe_loops(x, masks, 3, groups, 2))


@pytest.mark.parametrize('groups', [1, 2])
def test_carafe_backward_matches_loops(groups):
    """The operator itself: mmcv's own autograd function refuses gradients that are not on a GPU."""
    x, masks = carafe_case(groups)
    expected = carafe_loops(x, masks, 3, groups, 2)
    direction = torch.randn(expected.shape, dtype=expected.dtype)
    buffers = torch.zeros_like(x), torch.zeros_like(masks)
    arguments = dict(kernel_size=3, group_size=groups, scale_factor=2)
    with torch.no_grad():
        scratch = [torch.empty(0)] * 4
        OPS['carafe_backward'](direction, x, masks, *scratch, *buffers, **arguments)
    torch.testing.assert_close(buffers, torch.autograd.grad(expected, (x, masks), direction))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', ['carafe', 'carafe_naive'])
def test_carafe_gradcheck_on_cuda(name):
    x, masks = (t.detach().cuda().requires_grad_() for t in carafe_case(2))
    torch.autograd.gradcheck(lambda *inputs: getattr(ops, name)(*inputs, 3, 2, 2), (x, masks), nondet_tol=1e-9)


def psa_loops(x: Tensor, size: tuple[int, int], collect: bool) -> Tensor:
    batch, _, height, width = x.shape
    out = x.new_zeros(batch, height * width, height, width)
    for h in range(height):
        for w in range(width):
            for i in range(size[0]):
                for j in range(size[1]):
                    y, z = h + i - (size[0] - 1) // 2, w + j - (size[1] - 1) // 2
                    if 0 <= y < height and 0 <= z < width:
                        here, there = (h, w), (y, z)
                        channel, place = (there, here) if collect else (here, there)
                        out[:, channel[0] * width + channel[1], place[0], place[1]] = x[:, i * size[1] + j, h, w]
    return out


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask_matches_loops_with_gradient(kind):
    for size in [(5, 9), (3, 3), (7, 1)]:
        x = torch.randn(2, size[0] * size[1], HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
        out, expected = ops.PSAMask(kind, size)(x), psa_loops(x, size, kind == 'collect')
        assert torch.equal(out, expected)
        direction = torch.randn_like(out)
        torch.testing.assert_close(*(torch.autograd.grad(o, x, direction)[0] for o in (out, expected)))


@pytest.mark.parametrize(('kernel', 'padding'), [(3, 1), (1, 0), ((5, 3), (2, 1))])
def test_masked_convolution_equals_convolution_at_the_chosen_positions(kernel, padding):
    torch.manual_seed(0)
    conv = ops.MaskedConv2d(4, 6, kernel, padding=padding)
    x, mask = torch.randn(1, 4, HEIGHT, WIDTH), torch.rand(1, HEIGHT, WIDTH) > 0.5
    with torch.no_grad():
        torch.testing.assert_close(conv(x, mask), conv(x) * mask)
