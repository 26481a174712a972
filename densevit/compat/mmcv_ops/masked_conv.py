"""Convolution at chosen positions behind ``mmcv.ops``, for Guided Anchoring (arXiv:1901.03278), section 3.5."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill ``col`` (C * kernel_h * kernel_w, n) with windows of ``im`` (1, C, H, W) at each of n output positions."""
    padded = F.pad(im[0], (pad_w, kernel_w, pad_h, kernel_h))  # far sides: room for a window at any position
    windows = padded.unfold(1, kernel_h, 1).unfold(2, kernel_w, 1)  # (C, h, w, kernel_h, kernel_w)
    col.copy_(windows[:, mask_h_idx, mask_w_idx].permute(0, 2, 3, 1).reshape(col.shape))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Write column i of ``col`` (C, n) to position i of ``im`` (1, C, H, W); other positions keep their value."""
    im[0, :, mask_h_idx, mask_w_idx] = col
