"""The losses of depth against the formulas of papers, at the edges of what a mask may be, and in half precision."""
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from densevit.networks.depth import DepthPrediction
from densevit.networks.depth.losses import (
    DepthLoss,
    gradient_loss,
    least_squares_alignment,
    masked_l1,
    median_alignment,
    silog_loss,
    ssi_loss,
)

LOSSES = {
    'silog': silog_loss,
    'silog of Eigen': lambda p, t, m: silog_loss(p, t, m, 'eigen'),
    'l1': masked_l1,
    'ssi of medians': ssi_loss,
    'ssi of least squares': lambda p, t, m: ssi_loss(p, t, m, 'least_squares'),
    'metres': lambda p, t, m: sum(DepthLoss(l1=1., silog=1.)(DepthPrediction(p), torch.where(m, t, 0.)).values()),
    'disparity': lambda p, t, m: DepthLoss('relative_disparity')(DepthPrediction(p), torch.where(m, t, 0.))['loss_ssi'],
}


def batch(size=(2, 19, 23), share=.7):
    """Predictions, targets whose unknown pixels are no numbers, and the mask of the known."""
    generator = torch.Generator().manual_seed(0)
    prediction, target = (torch.rand(size, generator=generator) * 8 + .5 for _ in range(2))
    mask = torch.rand(size, generator=generator) < share
    target[~mask] = float('nan')
    return prediction, target, mask


def test_silog__is_that_of_the_papers():
    prediction, target, mask = batch()
    g = (prediction[mask].double().log() - target[mask].double().log()).numpy()
    bts = 10 * math.sqrt((g**2).mean() - .85 * g.mean()**2)
    assert silog_loss(prediction, target, mask, eps=0.).item() == pytest.approx(bts, rel=1e-5)
    adabins = 10 * math.sqrt(g.var(ddof=1) + .15 * g.mean()**2)  # with Bessel's correction
    assert silog_loss(prediction, target, mask, eps=0.).item() == pytest.approx(adabins, rel=1e-3)
    eigen = math.sqrt((g**2).mean() - .5 * g.mean()**2)
    assert silog_loss(prediction, target, mask, 'eigen', eps=0.).item() == pytest.approx(eigen, rel=1e-5)
    with pytest.raises(ValueError, match="choose 'variance_focus' or 'eigen'"):
        silog_loss(prediction, target, mask, 'mean')


def reference_gradient(error, mask):
    """MiDaS' (arXiv:1907.01341, equation 11), written out pixel by pixel."""
    total = 0.
    for step in (1, 2, 4, 8):
        e, m = error[:, ::step, ::step], mask[:, ::step, ::step]
        found = 0.
        for image in range(len(e)):
            for y in range(e.shape[1]):
                for x in range(e.shape[2]):
                    for other in ((y + 1, x), (y, x + 1)):
                        if other[0] < e.shape[1] and other[1] < e.shape[2] and m[image, y, x] and m[(image, *other)]:
                            found += abs(e[image, y, x] - e[(image, *other)])
        total += found / m.sum()
    return total


@pytest.mark.parametrize('alignment', ['median', 'least_squares'])
def test_ssi__is_that_of_the_paper(alignment):
    """Also that scale and shift are those of numpy's least squares, and medians those of the known pixels."""
    prediction, target, mask = batch()
    p, t, m = prediction.double().numpy(), np.nan_to_num(target.double().numpy()), mask.numpy()
    error, data = np.zeros(p.shape), 0.
    for image in range(len(p)):
        own, truth = p[image][m[image]], t[image][m[image]]
        if alignment == 'least_squares':
            scale, shift = np.polyfit(own, truth, 1)
            error[image][m[image]] = scale * own + shift - truth
            data += (error[image][m[image]]**2).sum()
        else:
            own, truth = ((x - np.sort(x)[(len(x) - 1) // 2]) for x in (own, truth))
            error[image][m[image]] = own / np.abs(own).mean() - truth / np.abs(truth).mean()
            kept = np.sort(np.abs(error[image][m[image]]))[:int(.8 * m[image].sum())]
            data += kept.sum()
    expected = data / (2 * m.sum()) + .5 * reference_gradient(error, m)
    assert ssi_loss(prediction, target, mask, alignment).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('alignment', ['median', 'least_squares'])
def test_ssi__does_not_see_scale_and_shift(alignment):
    prediction, target, mask = batch()
    loss = ssi_loss(prediction, target, mask, alignment).item()
    moved = ssi_loss(3. * prediction - 7., target, mask, alignment).item()
    assert moved == pytest.approx(loss, rel=1e-4)
    assert ssi_loss(.2 * torch.nan_to_num(target) + 5., target, mask, alignment).item() < 1e-4


def test_alignments():
    prediction, target, mask = batch()
    scale, shift = least_squares_alignment(prediction, target, mask)
    for image in range(2):
        expected = np.polyfit(prediction[image][mask[image]].double(), target[image][mask[image]].double(), 1)
        assert [scale[image].item(), shift[image].item()] == pytest.approx(expected.tolist(), rel=1e-4)
    constant = torch.full((1, 4, 4), 2.)
    scale, shift = least_squares_alignment(constant, torch.arange(16.).reshape(1, 4, 4), torch.ones(1, 4, 4) > 0)
    assert (scale.item(), shift.item()) == (0., 7.5)
    normal = median_alignment(target, mask)
    assert normal[~mask].abs().max() == 0 and normal[mask].abs().mean().item() == pytest.approx(1., rel=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_gradients__are_those_of_the_loss(name):
    prediction, target, mask = batch((2, 5, 6))
    point = prediction.double().requires_grad_()
    assert gradcheck(lambda p: LOSSES[name](p, target.double(), mask), point)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('name', LOSSES)
def test_edges__are_finite(name, dtype):
    """Empty, one pixel, constant, equal to the target, zero and huge."""
    prediction, target, mask = batch()
    one = torch.zeros_like(mask)
    one[0, 3, 4] = True
    cases = [(prediction, target, torch.zeros_like(mask)), (prediction, torch.nan_to_num(target, 3.), one),
             (torch.full_like(prediction, 2.), target, mask), (torch.nan_to_num(target, 1.), target, mask),
             (torch.zeros_like(prediction), target, mask), (prediction * 5000, target, mask)]
    for index, (own, truth, known) in enumerate(cases):
        point = own.to(dtype).requires_grad_()
        loss = LOSSES[name](point, truth, known)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(point.grad).all(), index
        assert point.grad[~known].abs().max() == 0, index
        if not known.any():
            assert loss.item() == 0 and point.grad.abs().max() == 0


def test_gradient_loss__of_a_plane():
    """A slope of 1 along x: 1 a pixel, then 2, 4 and 8."""
    error = torch.arange(16.).expand(1, 16, 16)
    shares = [step * (16 // step) * (16 // step - 1) / (16 // step)**2 for step in (1, 2, 4, 8)]
    assert gradient_loss(error, torch.ones(1, 16, 16) > 0).item() == pytest.approx(sum(shares))


def test_depth_loss__by_kind():
    prediction, target, _ = batch((2, 12, 14))
    small = DepthPrediction(prediction[:, ::2, ::2].clone().requires_grad_())
    target = torch.nan_to_num(target)
    assert set(DepthLoss()(small, target)) == {'loss_silog', 'loss_gradient'}
    assert set(DepthLoss('relative_disparity')(small, target)) == {'loss_ssi'}
    assert set(DepthLoss(l1=1., gradient=0.)(small, target)) == {'loss_l1'}
    # With l1 alone gradients are those of what it compares.
    rough = torch.where(torch.arange(14) % 2 > 0, 2., 1.).expand(2, 12, 14)
    of_l1 = DepthLoss('relative_depth', l1=1., gradient=2.)(DepthPrediction(rough), torch.ones(2, 12, 14))
    assert set(of_l1) == {'loss_l1', 'loss_gradient'}
    expected = 2 * gradient_loss(rough - 1, torch.ones(2, 12, 14) > 0).item()
    assert of_l1['loss_gradient'].item() == pytest.approx(expected) != 0
    with pytest.raises(ValueError, match='leave silog out'):
        DepthLoss('relative_depth', silog=1.)
    # A prediction that is the inverse depth up to scale and shift, whatever the unit of the depth is.
    disparity = torch.where(target > 0, 1 / target.clamp(min=.1), 0.)
    perfect = DepthPrediction(3 * disparity + 1)
    for scale in (1., 1000.):
        assert DepthLoss('relative_disparity')(perfect, scale * target)['loss_ssi'].item() < 1e-3
    assert DepthLoss('relative_depth')(DepthPrediction(2 * target + 1), target)['loss_ssi'].item() < 1e-3


def test_depth_loss__sky():
    """Sky has no depth to be learned, and is learned where it is known."""
    depth, sky = torch.full((1, 4, 4), 5.), torch.zeros(1, 4, 4)
    sky[:, 0], sky[:, 1] = 1., -1.
    logits = torch.where(sky == 1, 20., -20.)
    target = torch.where(sky == 1, 1000., 5.)
    losses = DepthLoss()(DepthPrediction(depth, logits), target, sky)
    assert losses['loss_silog'].item() < 1e-3 and losses['loss_sky'].item() < 1e-3
    logits[:, 1] = 1e4  # where nobody knows
    assert DepthLoss()(DepthPrediction(depth, logits), target, sky)['loss_sky'].item() < 1e-3
    assert 'loss_sky' not in DepthLoss()(DepthPrediction(depth), target, sky)
    for options, given in ((dict(), None), (dict(sky=0.), sky)):  # in no batch of a run, or in some
        logits = torch.ones(1, 4, 4, requires_grad=True)
        DepthLoss(**options)(DepthPrediction(depth, logits), target, given)['loss_sky'].backward()
        assert logits.grad.abs().max() == 0
