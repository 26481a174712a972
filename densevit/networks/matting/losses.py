"""What teaches opacity: errors where the trimap is unknown and where it is known, of pyramids and of gradients.

Opacities are (B, H, W) in [0, 1], and masks (B, H, W) bool. Half precision is brought to single precision first; what
is empty is 0 with zero gradients.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def region_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean absolute error over a region of a whole batch: that of ViTMatte's two L1 losses (section 3.5).

    The authors' have a further factor of 512 * 512 / (pixels of a crop), which is 1 for crops of theirs.
    """
    return _inside(_precise(prediction) - _precise(target), mask).abs().sum() / mask.sum().clamp(min=1)


def gradient_penalty(prediction: Tensor, target: Tensor, mask: Tensor, sparsity: float = .01) -> Tensor:
    """The error of the gradients in a region, and a little of their size (ViTMatte, section 3.5).

    Gradients are sums of Sobel's kernels ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) over the image with zeros around it, as
    the authors have them; absolute values are averaged over the region.

    Args:
        prediction, target: (B, H, W).
        mask: (B, H, W), the unknown region.
        sparsity: Weight of the absolute gradients of the prediction.
    """
    sobel = _precise(prediction.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]))
    kernels = torch.stack((sobel, sobel.t())).unsqueeze(1)
    with torch.autocast(prediction.device.type, enabled=False):
        own, true = (F.conv2d(_precise(x)[:, None], kernels, padding=1) for x in (prediction, target))
    error = (own - true).abs() + sparsity * own.abs()
    return _inside(error, mask[:, None]).sum() / mask.sum().clamp(min=1)


def laplacian_loss(prediction: Tensor, target: Tensor, levels: int = 5) -> Tensor:
    """The L1 distance of Laplacian pyramids, level s weighted by 2^s (Hou and Liu, arXiv:1909.09725, equation 4).

    Divided by the number of levels, as in the code of Robust Video Matting and ViTMatte. A level with a side of fewer
    than 4 pixels, which the kernel of 5 cannot reflect, ends the pyramid.

    Args:
        prediction, target: (B, H, W).
        levels: The number of levels.
    """
    weights = _precise(prediction.new_tensor([1, 4, 6, 4, 1])) / 16
    kernel = (weights[:, None] * weights)[None, None]
    # A pyramid is linear: that of the difference is the difference of theirs.
    x = (_precise(prediction) - _precise(target))[:, None]
    total = x.new_zeros(())
    with torch.autocast(x.device.type, enabled=False):
        for level in range(levels):
            if min(x.shape[-2:]) < 4:
                break
            x = x[..., :x.shape[-2] // 2 * 2, :x.shape[-1] // 2 * 2]
            down = _blur(x, kernel)[..., ::2, ::2]
            up = torch.zeros_like(x)
            up[..., ::2, ::2] = 4 * down
            total = total + 2**level * (x - _blur(up, kernel)).abs().mean()
            x = down
    return total / levels


class MattingLoss(nn.Module):
    """ViTMatte's loss (arXiv:2305.15272, section 3.5): weights of the losses of this file; 0 leaves one out.

    Args:
        unknown: Of :func:`region_l1` where the trimap is unknown.
        known: Of the same where it is known.
        laplacian: Of :func:`laplacian_loss`.
        gradient: Of :func:`gradient_penalty` where the trimap is unknown.
    """

    def __init__(self, unknown: float = 1., known: float = 1., laplacian: float = 1., gradient: float = 1.) -> None:
        super().__init__()
        self.unknown, self.known, self.laplacian, self.gradient = unknown, known, laplacian, gradient

    def forward(self, prediction: Tensor, target: Tensor, trimap: Tensor) -> dict[str, Tensor]:
        """The losses of a batch by name.

        Args:
            prediction: (B, H, W), what the network gave.
            target: (B, H, W), the true opacity.
            trimap: (B, H, W), 0, 0.5 and 1, and -1 where nothing counts: beside an image.
        """
        counts, unknown = trimap >= 0, trimap == .5
        prediction = torch.where(counts, prediction, target.to(prediction.dtype))
        losses = dict(
            loss_unknown=self.unknown * region_l1(prediction, target, unknown),
            loss_known=self.known * region_l1(prediction, target, counts & ~unknown))
        if self.laplacian:
            losses['loss_laplacian'] = self.laplacian * laplacian_loss(prediction, target)
        if self.gradient:
            losses['loss_gradient'] = self.gradient * gradient_penalty(prediction, target, unknown)
        return losses


def _precise(x: Tensor) -> Tensor:
    """Single precision of what has less."""
    return x if x.dtype == torch.float64 else x.float()


def _inside(values: Tensor, mask: Tensor) -> Tensor:
    """Values in a mask, 0 outside, whatever they are there."""
    return torch.where(mask, values, 0.)


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode='reflect'), kernel)
