"""Point-wise spatial attention masks behind ``mmcv.ops``: PSANet (ECCV 2018), section 3.2."""

from __future__ import annotations

import torch
from torch import Tensor

_COLLECT = 0  # the other psa_type, 1, distributes


def _window_index(
    size: tuple[int, int], mask: tuple[int, int], half: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """For every pixel and every target pixel, the target's index in the pixel's window, and whether it is inside.

    Two tensors of shape (H*W, H*W); an index outside is 0.
    """
    ys, xs = torch.arange(size[0], device=device), torch.arange(size[1], device=device)
    dy = ys[None, :] - ys[:, None] + half[0]  # (from, to)
    dx = xs[None, :] - xs[:, None] + half[1]
    inside = ((dy >= 0) & (dy < mask[0]))[:, None, :, None] & ((dx >= 0) & (dx < mask[1]))[None, :, None, :]
    index = dy[:, None, :, None] * mask[1] + dx[None, :, None, :]  # (H, W, H, W)
    pixels = size[0] * size[1]
    return index.where(inside, 0).reshape(pixels, pixels), inside.reshape(pixels, pixels)


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Spread windows ``input`` (B, h_mask*w_mask, H, W) over the image: ``output`` (B, H*W, H, W), 0 outside a window.

    Distribute puts the window of pixel i in channel i. Collect puts at pixel i, in channel j, what i takes from j.
    """
    sizes = (h_feature, w_feature), (h_mask, w_mask), (half_h_mask, half_w_mask)
    index, inside = _window_index(*sizes, input.device)
    windows = input.flatten(2).transpose(1, 2)  # (B, pixel, window)
    spread = windows.gather(2, index.expand(num_, -1, -1)) * inside  # (B, from, to)
    output.copy_((spread.transpose(1, 2) if psa_type == _COLLECT else spread).reshape(output.shape))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Add to ``grad_input`` (B, h_mask*w_mask, H, W) what ``grad_output`` (B, H*W, H, W) holds inside the windows."""
    sizes = (h_feature, w_feature), (h_mask, w_mask), (half_h_mask, half_w_mask)
    index, inside = _window_index(*sizes, grad_output.device)
    spread = grad_output.flatten(2)
    spread = (spread.transpose(1, 2) if psa_type == _COLLECT else spread) * inside
    windows = spread.new_zeros(num_, h_feature * w_feature, h_mask * w_mask)
    windows.scatter_add_(2, index.expand(num_, -1, -1), spread)
    grad_input.add_(windows.transpose(1, 2).reshape(grad_input.shape))
