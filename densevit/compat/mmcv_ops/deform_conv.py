"""Deformable convolution behind ``mmcv.ops``, on torchvision's.

v1: arXiv:1703.06211, section 2.1; v2 (modulated): arXiv:1811.11168, eq. 1. mmcv and torchvision agree on the layout
of the offsets: (deform group, kernel row, kernel column, y before x). Scratch buffers of the compiled operators
(``columns``, ``ones``) and ``im2col_step`` steer its memory only and are ignored.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from .precision import widen


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    tensors = [None if t is None else widen(t) for t in (input, offset, weight, bias)]
    return torchvision.ops.deform_conv2d(*tensors, stride, padding, dilation, None if mask is None else widen(mask))


def _gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: tuple[int, ...],
    groups: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of input, weight, offset, mask and bias; ``geometry`` is stride, padding, dilation, each as (y, x).

    Calls the operator behind torchvision's own autograd, to save the forward that autograd would add. A sample on the
    very line one pixel ahead of the image has a kink there: torchvision gives its offset the slope inside, mmcv none.
    Offsets that begin at zero put every sample of the padding on that line.
    """
    tensors = [widen(t) for t in (grad_output, input, weight, offset)]
    unused = tensors[0].new_zeros(len(input), 1)
    bias = tensors[0].new_zeros(len(weight))
    grads = torch.ops.torchvision._deform_conv2d_backward(
        *tensors, unused if mask is None else widen(mask), bias, *geometry, *groups, mask is not None
    )
    shifts = tensors[3].unflatten(1, (groups[1], *weight.shape[2:], 2))
    grads[2].view(shifts.shape).masked_fill_(_is_ahead_of_image(shifts, geometry).unsqueeze(4), 0)
    return grads


def _is_ahead_of_image(shifts: Tensor, geometry: tuple[int, ...]) -> Tensor:
    """Which samples count as 0 for lying a pixel or more above or to the left of the image.

    Args:
        shifts: Offsets (B, deform groups, kernel_h, kernel_w, 2, h, w), y before x.
        geometry: Stride, padding and dilation, each as (y, x).

    Returns:
        (B, deform groups, kernel_h, kernel_w, h, w).
    """
    kernel, size = shifts.shape[2:4], shifts.shape[5:]
    rows, columns = (
        (torch.arange(taps, device=shifts.device) * dilation).unsqueeze(1)
        + torch.arange(length, device=shifts.device) * stride
        - padding
        for taps, length, stride, padding, dilation in zip(
            kernel, size, geometry[:2], geometry[2:4], geometry[4:], strict=True
        )
    )  # where the taps lie without offsets, (kernel_h, h) and (kernel_w, w)
    above = shifts[:, :, :, :, 0] + rows[:, None, :, None] <= -1
    return above | (shifts[:, :, :, :, 1] + columns[:, None, :] <= -1)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``output`` (B, O, h, w) from ``input`` (B, C, H, W) and ``offset`` (B, 2 * deform_group * kH * kW, h, w)."""
    output.copy_(_convolve(input, weight, offset, None, None, (dH, dW), (padH, padW), (dilationH, dilationW)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add the gradients of the input and of the offsets to ``gradInput`` and ``gradOffset``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW)
    grads = _gradients(gradOutput, input, weight, offset, None, geometry, (group, deformable_group))
    gradInput.add_(grads[0])
    gradOffset.add_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``gradWeight`` (O, C / group, kH, kW)."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW)
    # The gradient of the weight does not depend on the weight, which the caller therefore does not pass.
    grads = _gradients(gradOutput, input, gradWeight, offset, None, geometry, (group, deformable_group))
    gradWeight.add_(grads[1].to(gradWeight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Do what ``deform_conv_forward`` does, with samples weighted by ``mask`` (B, deform_group * kH * kW, h, w)."""
    geometry = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, *geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add the five gradients to the buffers; that of the bias only ``with_bias``."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w)
    grads = _gradients(grad_output, input, weight, offset, mask, geometry, (group, deformable_group))
    buffers = (grad_input, grad_weight, grad_offset, grad_mask, grad_bias)
    for buffer, grad in list(zip(buffers, grads, strict=True))[: 5 if with_bias else 4]:
        buffer.add_(grad)
