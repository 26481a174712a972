"""What teaches depth without ground truth: neighbouring frames of a video, seen again through the depth.

After Digging Into Self-Supervised Monocular Depth Estimation (Monodepth2, arXiv:1806.01260, section 3). A frame that
was taken beside the target is warped into its view by depth and camera motion; where both differ, the depth is wrong.
Images are RGB in [0, 1], depth in the unit of the motion. Everything is computed in single precision at least.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_SSIM_SHARE = .85  # alpha
_C1, _C2 = .01**2, .03**2  # of SSIM (Wang et al., 2004) for values in [0, 1]
_NEAREST = 1e-3  # of a point before a camera; what lies behind it is at infinity in its image


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (B, C, H, W) in [-1, 1] of images, over windows of 3 by 3 that reflect at the border."""
    a, b = (F.pad(_wide(x), (1, 1, 1, 1), mode='reflect') for x in (a, b))
    mean_a, mean_b = (F.avg_pool2d(x, 3, 1) for x in (a, b))
    variance_a, variance_b, covariance = (
        F.avg_pool2d(x * y, 3, 1) - mean_x * mean_y
        for x, y, mean_x, mean_y in ((a, a, mean_a, mean_a), (b, b, mean_b, mean_b), (a, b, mean_a, mean_b)))
    similar = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return similar / ((mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2))


def photometric_error(a: Tensor, b: Tensor, ssim_share: float = _SSIM_SHARE) -> Tensor:
    """How much two images (B, 3, H, W) differ at each pixel, (B, H, W).

    ``pe = alpha / 2 (1 - SSIM) + (1 - alpha) |a - b|``, the mean over channels, with alpha = 0.85 (section 3.1). The
    first term is brought into [0, 1].
    """
    structure = ((1 - ssim(a, b)) / 2).clamp(0, 1).mean(1)
    return ssim_share * structure + (1 - ssim_share) * (_wide(a) - _wide(b)).abs().mean(1)


def warp(source: Tensor, depth: Tensor, motion: Tensor, camera: Tensor) -> Tensor:
    """A neighbouring frame as the target's camera would see it: ``I_s<proj(D_t, T_ts, K)>`` (section 3.1, equation 2).

    Args:
        source: (B, 3, H, W), the neighbouring frame.
        depth: (B, H, W), of the target.
        motion: (B, 3, 4) or (B, 4, 4): brings points from the target's camera into the source's.
        camera: (B, 4): ``fx, fy, cx, cy`` in pixels, for both frames; the centre of the first pixel is at (0, 0).

    Returns:
        (B, 3, H, W); pixels that the source does not show repeat its border.
    """
    depth, camera, motion = _wide(depth), _wide(camera).to(depth), _wide(motion).to(depth)
    height, width = depth.shape[-2:]
    fx, fy, cx, cy = (each[:, None, None] for each in camera.unbind(1))
    x = (torch.arange(width, device=depth.device, dtype=depth.dtype) - cx) / fx  # (B, 1, W)
    y = (torch.arange(height, device=depth.device, dtype=depth.dtype)[:, None] - cy) / fy  # (B, H, 1)
    points = torch.stack((x * depth, y * depth, depth), 1)  # (B, 3, H, W)
    moved = torch.einsum('bij,bjhw->bihw', motion[:, :3, :3], points) + motion[:, :3, 3, None, None]
    away = moved[:, 2].clamp(min=_NEAREST)
    columns, rows = fx * moved[:, 0] / away + cx, fy * moved[:, 1] / away + cy
    # From -1 to 1 between the centres of the outer pixels.
    grid = torch.stack((2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1), -1)
    return F.grid_sample(_wide(source).to(depth), grid, padding_mode='border', align_corners=True)


def reprojection_loss(
    target: Tensor,
    sources: Sequence[Tensor],
    warped: Sequence[Tensor],
    mask: Tensor | None = None,
) -> Tensor:
    """The photometric error of the source that shows a pixel best, over the pixels that move.

    The least of all sources, because what one hides another shows (section 3.2, per-pixel minimum). Pixels that a
    source shows better as it is than warped do not count: they do not move, as in a still scene or on a car ahead, and
    would teach a depth of infinity (auto-masking). The mean is over all pixels, of which those that do not count have
    an error of 0.

    Args:
        target: (B, 3, H, W).
        sources: Neighbouring frames (B, 3, H, W) as they are.
        warped: The same, through depth and motion, see :func:`warp`.
        mask: (B, H, W) bool, the pixels that may count, without pads; None for all.
    """
    error = torch.stack([photometric_error(target, each) for each in warped]).amin(0)
    still = torch.stack([photometric_error(target, each) for each in sources]).amin(0)
    mask = torch.ones_like(error, dtype=torch.bool) if mask is None else mask
    return torch.where(mask & (error < still), error, 0.).sum() / mask.sum().clamp(min=1)


def smoothness_loss(disparity: Tensor, image: Tensor) -> Tensor:
    """Disparity changes where the image does: ``|dx d*| e^-|dx I| + |dy d*| e^-|dy I|`` (section 3.1).

    d* is the disparity divided by its mean over the image, so that it cannot shrink to nothing.

    Args:
        disparity: (B, H, W), positive.
        image: (B, 3, H, W).
    """
    disparity, image = _wide(disparity), _wide(image)
    disparity = (disparity / disparity.mean((1, 2), keepdim=True).clamp(min=1e-7))[:, None]
    terms = []
    for axis in (-1, -2):
        change, edges = disparity.diff(dim=axis).abs(), image.diff(dim=axis).abs().mean(1, keepdim=True)
        terms.append((change * (-edges).exp()).mean() if change.numel() else disparity.new_zeros(()))
    return terms[0] + terms[1]


def _wide(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x if x.dtype == torch.float64 else x.float()
