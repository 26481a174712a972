"""Multi-scale deformable attention behind ``mmcv.ops``: that of ``densevit.layers``, with mmcv's arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...layers.deformable_attention import multi_scale_deformable_attention
from .precision import widen


def multi_scale_deformable_attn_pytorch(
    value: Tensor,
    value_spatial_shapes: Tensor | Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """What mmcv's module calls for tensors on the CPU; shapes as in ``ms_deform_attn_forward``."""
    return multi_scale_deformable_attention(
        value, _pairs(value_spatial_shapes), sampling_locations, attention_weights
    )


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
    return multi_scale_deformable_attention(value, _pairs(spatial_shapes), sampling_locations, attention_weights)


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
    """Add the gradients to the three buffers, each of the shape of its input in ``ms_deform_attn_forward``.

    The output is a sum over levels, so one level is differentiated at a time: the memory peak is that of a level.
    """
    start = 0
    for level, (height, width) in enumerate(_pairs(spatial_shapes)):
        tokens, one = slice(start, start + height * width), slice(level, level + 1)
        start = tokens.stop
        parts = value[:, tokens], sampling_locations[:, :, :, one], attention_weights[:, :, :, one]
        leaves = [part.detach().requires_grad_() for part in parts]
        with torch.enable_grad():
            out = multi_scale_deformable_attention(leaves[0], [(height, width)], *leaves[1:])
        grads = torch.autograd.grad(out, leaves, grad_output.reshape(out.shape))
        # Where ``grid_sample`` gives the slope inside, at the kink one pixel ahead of the map, mmcv gives none.
        points = widen(parts[1])
        pixels = points * points.new_tensor([width, height]) - 0.5
        grads[1].masked_fill_((pixels <= -1).any(-1, keepdim=True), 0)
        grad_value[:, tokens] += grads[0]
        grad_sampling_loc[:, :, :, one] += grads[1]
        grad_attn_weight[:, :, :, one] += grads[2]


def _pairs(spatial_shapes: Tensor | Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    shapes = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
    return [(int(height), int(width)) for height, width in shapes]
