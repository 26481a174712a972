"""Multi-scale deformable attention behind `mmcv.ops`: Deformable DETR (arXiv:2010.04159), eq. 3.

One level is sampled at a time, forward and backward: the output is a sum over levels, so the backward of one level
needs no other, and the memory peak is that of a single level.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from densevit.layers.mmcv_ops.precision import widen


def _attend_level(value: Tensor, size: tuple[int, int], locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted samples of one level, positions outside which count as 0.

    Shapes: value (B, H*W, M, D), locations (B, Q, M, P, 2) as (x, y) in [0, 1], weights (B, Q, M, P).
    Returns (B, Q, M * D).
    """
    maps = value.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, size)  # (B*M, D, H, W)
    grid = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # (B*M, Q, P, 2)
    samples = F.grid_sample(maps, grid, mode='bilinear', padding_mode='zeros', align_corners=False)  # (B*M, D, Q, P)
    out = (samples * weights.transpose(1, 2).flatten(0, 1).unsqueeze(1)).sum(-1)  # (B*M, D, Q)
    return out.unflatten(0, (len(value), -1)).flatten(1, 2).transpose(1, 2)


def _levels(spatial_shapes: Tensor, level_start_index: Tensor) -> Iterator[tuple[int, slice, tuple[int, int]]]:
    """Index, extent among the tokens and (height, width) of each level."""
    shapes, starts = spatial_shapes.tolist(), level_start_index.tolist()
    for level, ((height, width), start) in enumerate(zip(shapes, starts, strict=True)):
        yield level, slice(start, start + height * width), (height, width)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Attention of Q queries with M heads over L levels and P points a level.

    Shapes: value (B, sum of H*W, M, D), spatial_shapes (L, 2) as (height, width), level_start_index (L,),
    sampling_locations (B, Q, M, L, P, 2) as (x, y) in [0, 1], attention_weights (B, Q, M, L, P).
    Returns (B, Q, M * D).
    """
    v, locations, weights = widen(value), widen(sampling_locations), widen(attention_weights)
    out = v.new_zeros(len(v), locations.shape[1], v.shape[2] * v.shape[3])
    for level, tokens, size in _levels(spatial_shapes, level_start_index):
        out += _attend_level(v[:, tokens], size, locations[:, :, :, level], weights[:, :, :, level])
    return out.to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients to the three buffers, each of the shape of its input in `ms_deform_attn_forward`."""
    for level, tokens, size in _levels(spatial_shapes, level_start_index):
        parts = value[:, tokens], sampling_locations[:, :, :, level], attention_weights[:, :, :, level]
        leaves = [widen(part).detach().requires_grad_() for part in parts]
        with torch.enable_grad():
            out = _attend_level(leaves[0], size, *leaves[1:])
        grads = torch.autograd.grad(out, leaves, widen(grad_output).reshape(out.shape))
        grad_value[:, tokens] += grads[0].to(grad_value.dtype)
        grad_sampling_loc[:, :, :, level] += grads[1].to(grad_sampling_loc.dtype)
        grad_attn_weight[:, :, :, level] += grads[2].to(grad_attn_weight.dtype)
