"""RoI operators through `mmcv.ops`, against loops written from the definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')

# (image, x1, y1, x2, y2) in image pixels at stride 4: inside, across borders, small, and tall
ROIS = [[0, 4.3, 6.1, 31.7, 20.2], [1, -9.0, -7.5, 13.3, 25.9], [1, 30.2, 8.8, 55.0, 39.0], [0, 10.0, 11.0, 12.5, 12.0]]
SCALE = 0.25


def features(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """Bilinear with the border repeated for one pixel outside, then 0."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return plane.sum() * 0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    top = plane[y0, x0] * (1 - (x - x0)) + plane[y0, x1] * (x - x0)
    bottom = plane[y1, x0] * (1 - (x - x0)) + plane[y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def align_loops(x: Tensor, rois: list, size: tuple[int, int], ratio: int, mode: str, aligned: bool) -> Tensor:
    out = []
    for image, *corners in rois:
        x1, y1, x2, y2 = (c * SCALE - 0.5 * aligned for c in corners)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1), max(width, 1)
        bin_height, bin_width = height / size[0], width / size[1]
        ny, nx = ratio or math.ceil(bin_height), ratio or math.ceil(bin_width)
        for plane in x[int(image)]:
            for i in range(size[0]):
                for j in range(size[1]):
                    points = [
                        sample(plane, y1 + (i + (a + 0.5) / ny) * bin_height, x1 + (j + (b + 0.5) / nx) * bin_width)
                        for a in range(ny)
                        for b in range(nx)
                    ]
                    points = torch.stack(points)
                    out.append(points.mean() if mode == 'avg' else points.max())
    return torch.stack(out).view(len(rois), x.shape[1], *size)


def pool_loops(x: Tensor, rois: list, size: tuple[int, int]) -> Tensor:
    out = []
    for image, x1, y1, x2, y2 in rois:
        x1, y1, x2, y2 = x1 * SCALE, y1 * SCALE, (x2 + 1) * SCALE, (y2 + 1) * SCALE
        for plane in x[int(image)]:
            for i in range(size[0]):
                for j in range(size[1]):
                    top = max(math.floor(y1 + i * (y2 - y1) / size[0]), 0)
                    bottom = max(math.ceil(y1 + (i + 1) * (y2 - y1) / size[0]), 0)
                    left = max(math.floor(x1 + j * (x2 - x1) / size[1]), 0)
                    right = max(math.ceil(x1 + (j + 1) * (x2 - x1) / size[1]), 0)
                    part = plane[top:bottom, left:right]
                    valid = part.numel() and x1 < x2 and y1 < y2
                    out.append(part.max() if valid else plane.sum() * 0)
    return torch.stack(out).view(len(rois), x.shape[1], *size)


def gradient(out: Tensor, x: Tensor) -> Tensor:
    weight = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out)
    return torch.autograd.grad((out * weight).sum(), x)[0]


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_matches_loops_with_gradient(mode, ratio):
    for aligned in [True, False]:
        x, rois, size = features().requires_grad_(), torch.tensor(ROIS, dtype=torch.float64), (2, 3)
        layer = ops.RoIAlign(size, SCALE, ratio, mode, aligned)
        out, expected = layer(x, rois), align_loops(x, ROIS, size, ratio, mode, aligned)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(gradient(out, x), gradient(expected, x))


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_gradcheck(mode):
    x, rois = features().requires_grad_(), torch.tensor(ROIS, dtype=torch.float64)
    torch.autograd.gradcheck(ops.RoIAlign((2, 3), SCALE, 2, mode), (x, rois))


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_other_dtypes(mode):
    for dtype in [torch.float16, torch.bfloat16, torch.float32]:
        x, rois = features(dtype).requires_grad_(), torch.tensor(ROIS).to(dtype)
        out = ops.RoIAlign((3, 2), SCALE, 0, mode)(x, rois)
        expected = align_loops(x.double(), rois.tolist(), (3, 2), 0, mode, True)
        assert out.dtype == dtype
        tolerance = 16 * torch.finfo(dtype).eps
        torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)
        assert gradient(out, x).dtype == dtype


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_of_nothing(mode):
    x, layer = features().requires_grad_(), ops.RoIAlign((2, 3), SCALE, 0, mode)
    assert layer(x, torch.zeros(0, 5, dtype=torch.float64)).shape == (0, 3, 2, 3)
    out = layer(x, torch.tensor([[0, 8.0, 8.0, 8.0, 8.0]], dtype=torch.float64))  # no side, hence no samples
    assert not out.any() and not gradient(out, x).any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_roi_pool_matches_loops_with_gradient(dtype):
    # More: partly right of the image of width 48, without area, wholly right, and wholly below and right.
    rois = ROIS + [[0, 40, 4, 70, 20], [0, 9, 9, 7, 20], [1, 60, 4, 80, 20], [1, 300, 300, 310, 320]]
    x = features(dtype).requires_grad_()
    out = ops.RoIPool((3, 2), SCALE)(x, torch.tensor(rois).to(dtype))
    expected = pool_loops(x, torch.tensor(rois).to(dtype).tolist(), (3, 2))
    torch.testing.assert_close(out, expected)
    assert out[0].any() and out[4].any() and not out[5:].any()
    torch.testing.assert_close(gradient(out, x), gradient(expected, x), rtol=1e-2, atol=1e-2)


def test_roi_pool_keeps_fractional_corners():
    """Unlike torchvision's, which rounds them first."""
    from torchvision.ops import roi_pool

    x, rois = features(), torch.tensor(ROIS, dtype=torch.float64)
    assert not torch.equal(ops.RoIPool((3, 2), SCALE)(x, rois), roi_pool(x, rois, (3, 2), SCALE))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('mode', ['avg', 'max', 'pool'])
def test_roi_operators_on_cuda_equal_cpu(mode):
    layer = ops.RoIPool((2, 3), SCALE) if mode == 'pool' else ops.RoIAlign((2, 3), SCALE, 0, mode)
    results = []
    for device in ('cpu', 'cuda'):
        x = features().to(device).requires_grad_()
        out = layer(x, torch.tensor(ROIS, dtype=torch.float64, device=device))
        results.append((out.detach().cpu(), gradient(out.cpu(), x).cpu()))
    torch.testing.assert_close(results[0], results[1])
