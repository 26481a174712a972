"""Focal losses behind ``mmcv.ops``: RetinaNet (arXiv:1708.02002), eq. 5.

In both, ``target`` (N,) holds class indices and ``weight`` is empty or (C,): the weight of a sample is that of its
target class. A target outside [0, C) is background: it has weight 1 (the compiled operators read past the end of
``weight``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import widen


def _is_class(target: Tensor, num_classes: int) -> Tensor:
    return (target >= 0) & (target < num_classes)


def _sample_weight(target: Tensor, weight: Tensor, num_classes: int) -> Tensor:
    if weight.numel() == 0:
        return weight.new_ones(len(target))
    return torch.where(_is_class(target, num_classes), weight[target.clamp(0, num_classes - 1)], 1.0)


def _one_hot(target: Tensor, num_classes: int) -> Tensor:
    return target[:, None] == torch.arange(num_classes, device=target.device)


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N, C) with C binary focal losses of the logits ``input`` (N, C)."""
    x, positive = widen(input), _one_hot(target, input.shape[1])
    p = x.sigmoid()
    loss = torch.where(
        positive, -alpha * (1 - p) ** gamma * F.logsigmoid(x), -(1 - alpha) * p**gamma * F.logsigmoid(-x)
    )
    output.copy_(loss * _sample_weight(target, weight, x.shape[1])[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss by its logit."""
    x, positive = widen(input), _one_hot(target, input.shape[1])
    p = x.sigmoid()
    grad_positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * F.logsigmoid(x))
    grad_negative = (1 - alpha) * p**gamma * (p - gamma * (1 - p) * F.logsigmoid(-x))
    grad = torch.where(positive, grad_positive, grad_negative)
    grad_input.copy_(grad * _sample_weight(target, weight, x.shape[1])[:, None])


def _target_probability(softmax: Tensor, target: Tensor) -> Tensor:
    """Probability of each sample's class, kept above 0 for its logarithm; (N,)."""
    index = target.clamp(0, softmax.shape[1] - 1)[:, None]
    return softmax.gather(1, index).squeeze(1).clamp(min=torch.finfo(torch.float32).tiny)


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N,) with the focal loss of the probabilities ``input`` (N, C); a background sample costs 0."""
    num_classes = input.shape[1]
    p = _target_probability(widen(input), target)
    loss = -alpha * (1 - p) ** gamma * p.log() * _sample_weight(target, weight, num_classes)
    output.copy_(loss.where(_is_class(target, num_classes), 0.0))


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative by the logits behind the probabilities ``input`` (N, C).

    ``buff`` (N,) gets the common factor p * dL/dp of each row.
    """
    softmax, num_classes = widen(input), input.shape[1]
    p = _target_probability(softmax, target)
    # At p = 1 the power diverges for gamma < 1 while the logarithm vanishes; the product is 0.
    rest = (1 - p).clamp(min=torch.finfo(torch.float32).tiny)
    factor = alpha * (gamma * rest ** (gamma - 1) * p * p.log() - (1 - p) ** gamma)
    factor = factor * _sample_weight(target, weight, num_classes)
    buff.copy_(factor.where(_is_class(target, num_classes), 0.0))
    grad_input.copy_(widen(buff)[:, None] * (_one_hot(target, num_classes).to(softmax.dtype) - softmax))
