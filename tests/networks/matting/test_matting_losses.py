"""The losses of matting against formulas, at the edges of what a region may be, and in half precision."""
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch.autograd import gradcheck

from densevit.networks.matting.losses import MattingLoss, gradient_penalty, laplacian_loss, region_l1


def batch(size=(2, 37, 46), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    prediction, target = (torch.rand(size, generator=generator, dtype=dtype) for _ in range(2))
    return prediction, target, torch.randint(3, size, generator=generator) / 2


def test_losses_are_those_of_the_paper():
    prediction, target, trimap = batch()
    p, t, unknown = prediction.numpy(), target.numpy(), trimap.numpy() == .5
    losses = MattingLoss()(prediction, target, trimap)
    assert losses['loss_unknown'].item() == pytest.approx(np.abs(p - t)[unknown].mean())
    assert losses['loss_known'].item() == pytest.approx(np.abs(p - t)[~unknown].mean())
    sobel, expected = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), 0.
    for kernel in (sobel, sobel.T):
        own, true = (np.stack([correlate(x, kernel, mode='constant') for x in images]) for images in (p, t))
        expected += np.abs(own - true)[unknown].mean() + .01 * np.abs(own)[unknown].mean()
    assert losses['loss_gradient'].item() == pytest.approx(expected)
    pyramids = [[_pyramid(x) for x in images] for images in (p, t)]
    expected = sum(2**level * np.mean([np.abs(own[level] - true[level]).mean() for own, true in
                                       zip(*pyramids, strict=True)]) for level in range(4)) / 5
    assert losses['loss_laplacian'].item() == pytest.approx(expected)


def _pyramid(x):
    """Levels of differences to what is left after shrinking and enlarging, while there are 4 pixels."""
    kernel, levels = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256, []
    while min(x.shape) >= 4:
        x = x[:x.shape[0] // 2 * 2, :x.shape[1] // 2 * 2]
        down = correlate(x, kernel, mode='mirror')[::2, ::2]
        up = np.zeros_like(x)
        up[::2, ::2] = 4 * down
        levels.append(x - correlate(up, kernel, mode='mirror'))
        x = down
    return levels


def test_gradients():
    prediction, target, trimap = batch((1, 9, 11))
    prediction.requires_grad_()
    for loss in (lambda p: region_l1(p, target, trimap == .5), lambda p: gradient_penalty(p, target, trimap == .5),
                 lambda p: laplacian_loss(p, target)):
        assert gradcheck(loss, prediction)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('unknown', ['nothing', 'a pixel', 'everything'])
def test_finite_whatever_is_unknown(unknown, dtype):
    for size in ((2, 1, 1), (1, 3, 5), (2, 33, 20)):
        prediction, target, _ = batch(size, dtype)
        trimap = torch.full(size, .5 if unknown == 'everything' else 1.)
        if unknown == 'a pixel':
            trimap[0, 0, 0] = .5
        prediction.requires_grad_()
        losses = MattingLoss()(prediction, target, trimap)
        sum(losses.values()).backward()
        assert all(value.isfinite() and value.dtype == torch.float32 for value in losses.values())
        assert prediction.grad.isfinite().all()
        assert (losses['loss_unknown'] == 0) == (unknown == 'nothing')
        assert unknown != 'nothing' or losses['loss_gradient'] == 0
        assert unknown != 'everything' or losses['loss_known'] == 0
