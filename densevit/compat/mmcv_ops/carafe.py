"""CARAFE upsampling behind ``mmcv.ops``: arXiv:1905.02188, eq. 4.

Output pixel (y, x) is the sum, over a k x k window around input pixel (y // s, x // s), of the input weighted by a
kernel predicted for that output pixel; the input counts as 0 outside. One tap of the window is added at a time, for
all taps at once would hold k * k copies of the output.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .precision import widen


def _taps(kernel_size: int, height: int, width: int) -> Iterator[tuple[int, slice, slice]]:
    """Index of each tap with the rows and columns of the padded input under it."""
    for tap in range(kernel_size**2):
        y, x = divmod(tap, kernel_size)
        yield tap, slice(y, y + height), slice(x, x + width)


def _split(x: Tensor, group_size: int, scale: int) -> Tensor:
    """(B, G * C, H * s, W * s) -> (B, G, C, H, s, W, s)."""
    height, width = x.shape[2] // scale, x.shape[3] // scale
    return x.reshape(len(x), group_size, -1, height, scale, width, scale)


def _padded(features: Tensor, kernel_size: int, group_size: int) -> Tensor:
    border = (kernel_size - 1) // 2
    return F.pad(widen(features), (border,) * 4).unflatten(1, (group_size, -1))  # (B, G, C, H + k - 1, W + k - 1)


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill ``output`` (B, C, s*H, s*W) from ``features`` (B, C, H, W) and ``masks`` (B, G*k*k, s*H, s*W)."""
    padded = _padded(features, kernel_size, group_size)
    kernels = _split(widen(masks), group_size, scale_factor)
    out = 0.0
    for tap, rows, cols in _taps(kernel_size, *features.shape[2:]):
        out = out + padded[..., rows, None, cols, None] * kernels[:, :, tap, None]
    output.copy_(out.reshape(output.shape))


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of the features and the kernels to ``bottom_grad`` and ``mask_grad``."""
    padded = _padded(features, kernel_size, group_size)
    kernels = _split(widen(masks), group_size, scale_factor)
    grad = _split(widen(top_grad), group_size, scale_factor)
    grad_padded, grad_kernels = padded.new_zeros(padded.shape), kernels.new_zeros(kernels.shape)
    for tap, rows, cols in _taps(kernel_size, *features.shape[2:]):
        grad_padded[..., rows, cols] += (grad * kernels[:, :, tap, None]).sum((4, 6))
        grad_kernels[:, :, tap] = (grad * padded[..., rows, None, cols, None]).sum(2)
    border = (kernel_size - 1) // 2
    height, width = features.shape[2:]
    inner = grad_padded[..., border : border + height, border : border + width]
    bottom_grad.add_(inner.reshape(bottom_grad.shape))
    mask_grad.add_(grad_kernels.reshape(mask_grad.shape))


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Do what ``carafe_naive_forward`` does, and keep the features in ``rfeatures`` for the backward."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Do what ``carafe_naive_backward`` does; the other buffers are scratch of the compiled operator."""
    carafe_naive_backward(
        top_grad, rfeatures, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor
    )
