"""Patch-embedding kernels at another patch size."""
from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from timm.layers import resample_patch_embed
from torch import Tensor


def resize_patch_embed(
    weight: Tensor,
    new_size: tuple[int, int],
    method: Literal['pinv', 'bilinear', 'bicubic'] = 'pinv',
) -> Tensor:
    """Resize the kernel of a patch embedding.

    ``'pinv'`` solves for the kernel that gives a resized patch the token that the old kernel gives the original one
    (FlexiViT, arXiv:2212.08013, equation 4). ``'bilinear'`` and ``'bicubic'`` resize the kernel as if it were an
    image, as ViT-Adapter and ViT-CoMer do: tokens grow by the ratio of the areas.

    Args:
        weight: (D, 3, p, p).
        new_size: (p', p') in pixels.

    Returns:
        (D, 3, p', p').
    """
    if tuple(weight.shape[-2:]) == tuple(new_size):
        return weight
    if method == 'pinv':
        return resample_patch_embed(weight, list(new_size))
    if method in ('bilinear', 'bicubic'):
        return F.interpolate(weight.float(), size=tuple(new_size), mode=method, align_corners=False).to(weight.dtype)
    raise ValueError(f"unknown method '{method}': choose 'pinv', 'bilinear' or 'bicubic'")
