"""Focal losses through `mmcv.ops`, against arXiv:1708.02002, eq. 5, differentiated by autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from densevit.compat import install_mmcv_ops

pytest.importorskip('mmcv')
install_mmcv_ops()
ops = pytest.importorskip('mmcv.ops')

CLASSES = 4
TARGET = torch.tensor([2, 0, 3, 1, 4, 2])  # 4 is background
WEIGHT = torch.tensor([0.5, 2.0, 3.0, 1.5], dtype=torch.float64)


def logits(dtype: torch.dtype = torch.float64) -> Tensor:
    x = 3 * torch.randn(len(TARGET), CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_()


def sample_weight(weight: Tensor | None) -> Tensor:
    return torch.tensor([1.0 if weight is None or t == CLASSES else weight[t] for t in TARGET], dtype=torch.float64)


def sigmoid_loss(x: Tensor, gamma: float, alpha: float, weight: Tensor | None) -> Tensor:
    p = torch.sigmoid(x)
    positive = torch.zeros_like(p)
    for row, target in enumerate(TARGET.tolist()):
        if target < CLASSES:
            positive[row, target] = 1
    p_t = positive * p + (1 - positive) * (1 - p)
    alpha_t = positive * alpha + (1 - positive) * (1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * p_t.log() * sample_weight(weight)[:, None]


def softmax_loss(x: Tensor, gamma: float, alpha: float, weight: Tensor | None, target: Tensor) -> Tensor:
    p_t = torch.stack([row[t.clamp(min=0)] for row, t in zip(x.softmax(1), target, strict=True)])
    each = -alpha * (1 - p_t) ** gamma * p_t.log()
    return torch.where(target >= 0, each * (1.0 if weight is None else weight[target.clamp(min=0)]), 0.0)


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_sigmoid_focal_loss_with_gradient(reduction):
    for weight in [None, WEIGHT]:
        for gamma in [0.0, 0.5, 2.0]:
            x = logits()
            loss = ops.SigmoidFocalLoss(gamma, 0.3, weight, reduction)(x, TARGET)
            each = sigmoid_loss(x, gamma, 0.3, weight)
            expected = {'none': each, 'sum': each.sum(), 'mean': each.sum() / len(x)}[reduction]
            torch.testing.assert_close(loss, expected)
            ours, theirs = (torch.autograd.grad(v.square().sum(), x)[0] for v in (loss, expected))
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_softmax_focal_loss_with_gradient(reduction):
    for weight in [None, WEIGHT]:
        for gamma in [0.0, 0.5, 2.0]:
            target = TARGET.where(TARGET < CLASSES, -1)  # here background is negative
            x = logits()
            loss = ops.SoftmaxFocalLoss(gamma, 0.3, weight, reduction)(x, target)
            each = softmax_loss(x, gamma, 0.3, weight, target)
            expected = each.sum() / (len(x) if reduction == 'mean' else 1)
            torch.testing.assert_close(loss, expected)
            ours, theirs = (torch.autograd.grad(v.square(), x)[0] for v in (loss, expected))
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('name', ['SigmoidFocalLoss', 'SoftmaxFocalLoss'])
def test_other_dtypes(name):
    for dtype in [torch.float16, torch.bfloat16, torch.float32]:
        x, target = logits(dtype), TARGET.clamp(max=CLASSES - 1)
        loss_fn = getattr(ops, name)(2.0, 0.25)
        loss = loss_fn(x, target)
        loss.backward()
        wide = x.detach().double().requires_grad_()
        exact = loss_fn(wide, target)
        exact.backward()
        tolerance = 16 * torch.finfo(dtype).eps
        assert loss.dtype == x.grad.dtype == dtype
        torch.testing.assert_close(loss.double(), exact, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(x.grad.double(), wide.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('name', ['SigmoidFocalLoss', 'SoftmaxFocalLoss'])
def test_certain_predictions_have_finite_gradients(name):
    for gamma in [0.0, 0.5, 2.0]:
        x = torch.tensor([[200.0, -200.0], [200.0, -200.0]], requires_grad=True)
        loss = getattr(ops, name)(gamma, 0.25)(x, torch.tensor([0, 1]))
        loss.backward()
        assert loss.isfinite() and loss > 0 and x.grad.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('name', ['SigmoidFocalLoss', 'SoftmaxFocalLoss'])
def test_focal_losses_on_cuda_equal_cpu(name):
    target = TARGET.clamp(max=CLASSES - 1)
    results = []
    for device in ('cpu', 'cuda'):
        x = logits().detach().to(device).requires_grad_()
        loss = getattr(ops, name)(2.0, 0.25, WEIGHT.to(device))(x, target.to(device))
        loss.backward()
        results.append((loss.detach().cpu(), x.grad.cpu()))
    torch.testing.assert_close(results[0], results[1])
