"""What teaches depth: errors over the pixels whose depth is known.

Every loss takes predictions and targets (B, H, W) with a mask (B, H, W) of the pixels that count, computes in single
precision, or in double if it is given that, and is 0 with zero gradients where the mask is empty. What the target holds
outside of the mask (zeros, NaN) has no influence. Dense and sparse ground truth (lidar) are treated alike.
"""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import resize_bilinear
from .prediction import DepthKind, DepthPrediction

SILogConvention = Literal['variance_focus', 'eigen']
Alignment = Literal['least_squares', 'median']

_EPS = 1e-3  # metres added before logarithms: DINOv2's; AdaBins' 1e-7 lets gradients of 1e7 through
_NO_SPREAD = 1e-6  # the least variance, or mean deviation, that is divided by


def silog_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    convention: SILogConvention = 'variance_focus',
    eps: float = _EPS,
) -> Tensor:
    """The scale-invariant logarithmic error, with g = log prediction - log target over all pixels of a batch.

    Two conventions are published, between whose numbers lies a factor of ten and another weight of the mean:

    - ``'variance_focus'``: ``10 sqrt(mean(g^2) - 0.85 mean(g)^2)`` (BTS, arXiv:1907.10326, equation 3; AdaBins,
      ZoeDepth). As ``10 sqrt(var(g) + 0.15 mean(g)^2)`` it is written by some with Bessel's correction, which is left
      out here: it has no value for one pixel.
    - ``'eigen'``: ``sqrt(mean(g^2) - 0.5 mean(g)^2)`` (Eigen et al., arXiv:1406.2283, equation 4 under a root, as in
      Depth Anything V2 and mmsegmentation).

    Args:
        prediction, target: (B, H, W) in metres, or in another unit that both have.
        mask: (B, H, W), the pixels that count.
        convention: One of the above.
        eps: Added to both before the logarithm.

    Raises:
        ValueError: The convention is unknown.
    """
    if convention not in ('variance_focus', 'eigen'):
        raise ValueError(f"silog convention '{convention}': choose 'variance_focus' or 'eigen'")
    scale, share = (10., .85) if convention == 'variance_focus' else (1., .5)
    error = _log_ratio(prediction, target, mask, eps)
    count = mask.sum().clamp(min=1)
    mean = error.sum() / count
    # As deviations from the mean, which cannot become negative by rounding.
    variance = (torch.where(mask, error - mean, 0.)**2).sum() / count
    # The root has no slope at 0, where nothing is left to learn.
    return scale * ((variance + (1 - share) * mean**2).clamp(min=1e-12)).sqrt() * mask.any()


def masked_l1(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean absolute difference over the mask, of (B, H, W)."""
    return _difference(prediction, target, mask).abs().sum() / mask.sum().clamp(min=1)


def gradient_loss(error: Tensor, mask: Tensor, scales: int = 4) -> Tensor:
    """Multi-scale gradient matching (MegaDepth, arXiv:1804.00607, section 4; MiDaS, arXiv:1907.01341, equation 11).

    Differences of neighbouring pixels of an error map, at every pixel, every second, fourth and eighth; two neighbours
    count where both are in the mask. Each scale is divided by the pixels that its mask has, over the whole batch.

    Args:
        error: (B, H, W): prediction - target, of whatever is to have the target's edges; 0 outside of the mask.
        mask: (B, H, W).
        scales: The number of scales.
    """
    total = error.new_zeros(())
    for step in (2**scale for scale in range(scales)):
        e, m = error[:, ::step, ::step], mask[:, ::step, ::step]
        across = (e[:, :, 1:] - e[:, :, :-1]).abs() * (m[:, :, 1:] & m[:, :, :-1])
        down = (e[:, 1:] - e[:, :-1]).abs() * (m[:, 1:] & m[:, :-1])
        total = total + (across.sum() + down.sum()) / m.sum().clamp(min=1)
    return total


def least_squares_alignment(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift (B,) that bring each prediction (B, H, W) nearest to its target in the mean square.

    Where a prediction is the same everywhere, or has one pixel, the scale is 0 and the shift the target's mean, the
    best that there is.
    """
    count = mask.sum((1, 2)).clamp(min=1)
    p, t = (torch.where(mask, _wide(x), 0.) for x in (prediction, target))
    mean_p, mean_t = p.sum((1, 2)) / count, t.sum((1, 2)) / count
    # About the means: single precision does not suffice for differences of sums of squares.
    p, t = (torch.where(mask, x - mean[:, None, None], 0.) for x, mean in ((p, mean_p), (t, mean_t)))
    variance, covariance = (p * p).sum((1, 2)) / count, (p * t).sum((1, 2)) / count
    varies = variance > _NO_SPREAD**2
    scale = torch.where(varies, covariance / torch.where(varies, variance, 1.), 0.)
    return scale, mean_t - scale * mean_p


def median_alignment(x: Tensor, mask: Tensor) -> Tensor:
    """Maps (B, H, W) less their medians, divided by the mean absolute deviations from them (arXiv:1907.01341, eq. 5).

    Medians are those of the mask: in the authors' code, where pixels outside count as zeros, they are biased, and 0
    where ground truth is sparse. What is the same everywhere becomes 0.
    """
    x = torch.where(mask, _wide(x), 0.)
    count = mask.sum((1, 2))
    # A pixel outside is larger than any, so that the lower median is the one at the middle of the others.
    order = torch.where(mask, x, torch.inf).flatten(1).sort(1).values
    median = order.gather(1, ((count - 1).clamp(min=0) // 2)[:, None])[:, :, None]
    centred = torch.where(mask, x - torch.where(count[:, None, None] > 0, median, 0.), 0.)
    deviation = centred.abs().sum((1, 2), keepdim=True) / count[:, None, None].clamp(min=1)
    varies = deviation > _NO_SPREAD
    return torch.where(varies, centred / torch.where(varies, deviation, 1.), 0.)


def ssi_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    alignment: Alignment = 'median',
    trim: float = .2,
    gradient: float = .5,
    scales: int = 4,
) -> Tensor:
    """The scale- and shift-invariant loss of MiDaS with gradient matching (arXiv:1907.01341, section 5).

    - ``'median'``: both are normalised by median and mean absolute deviation, and the greatest errors of each image are
      left out (equation 8, "ssitrim").
    - ``'least_squares'``: the prediction is aligned by scale and shift, and errors are squared (equation 4, "ssimse").
      Nothing is trimmed.

    Sums over the images of a batch are divided by twice the number of its known pixels.

    Args:
        prediction, target: (B, H, W), disparities or depths.
        mask: (B, H, W), the pixels that count.
        alignment: One of the above.
        trim: The share of an image's errors that is left out, in [0, 1).
        gradient: Weight of :func:`gradient_loss` of the aligned difference; the authors' is 0.5.
        scales: Of the gradient loss.

    Raises:
        ValueError: The alignment is unknown.
    """
    if alignment == 'median':
        error = median_alignment(prediction, mask) - median_alignment(target, mask)
        data = _trimmed_sum(error.abs(), mask, trim)
    elif alignment == 'least_squares':
        scale, shift = least_squares_alignment(prediction, target, mask)
        error = _difference(scale[:, None, None] * _wide(prediction) + shift[:, None, None], target, mask)
        data = (error**2).sum()
    else:
        raise ValueError(f"alignment='{alignment}': choose 'median' or 'least_squares'")
    data = data / (2 * mask.sum().clamp(min=1))
    return data + gradient * gradient_loss(error, mask, scales) if gradient else data


class DepthLoss(nn.Module):
    """A weighted sum of the losses of this file; what is not asked for has weight 0.

    With no weight given, depth in metres learns from SILog and its gradients (``silog=1, gradient=0.5``), relative
    depth and disparity from the scale- and shift-invariant loss (``ssi=1``), which has gradients of its own.

    Args:
        kind: What the network gives, see :class:`densevit.networks.depth.DepthNetwork`. Targets are brought to it:
            depth in metres, or disparity that is scaled to [0, 10] in each image as MiDaS does.
        silog: Weight of :func:`silog_loss`.
        silog_convention: Its convention.
        ssi: Weight of :func:`ssi_loss`.
        ssi_alignment, trim: Its options.
        l1: Weight of the mean absolute error in metres, or in the unit of the target.
        gradient: Weight of :func:`gradient_loss`: of the aligned difference in the scale- and shift-invariant loss;
            without it of log depth for depth in metres, and of what ``l1`` compares for other kinds.
        sky: Weight of the binary cross-entropy of sky logits, for networks that tell the sky and data that has it.
            Without such data the loss is 0 and the sky is not learned.

    Raises:
        ValueError: Relative predictions with losses of metres.
    """

    def __init__(
        self,
        kind: DepthKind = 'metric',
        silog: float | None = None,
        silog_convention: SILogConvention = 'variance_focus',
        ssi: float | None = None,
        ssi_alignment: Alignment = 'median',
        trim: float = .2,
        l1: float = 0.,
        gradient: float = .5,
        sky: float = 1.,
    ) -> None:
        super().__init__()
        if kind != 'metric' and silog:
            raise ValueError(f"silog compares metres, and the network gives kind='{kind}': leave silog out, its loss "
                             'is ssi')
        if silog is None and ssi is None and not l1:
            silog, ssi = (1., 0.) if kind == 'metric' else (0., 1.)
        self.kind, self.silog, self.ssi, self.l1 = kind, silog or 0., ssi or 0., l1
        self.silog_convention, self.ssi_alignment, self.trim = silog_convention, ssi_alignment, trim
        self.gradient, self.sky = gradient, sky

    def forward(self, prediction: DepthPrediction, target: Tensor, sky: Tensor | None = None) -> dict[str, Tensor]:
        """The losses of a batch by name.

        Args:
            prediction: What the network gave.
            target: (B, H, W) metres over the padded images, at most 0 or not finite where the depth is not known.
            sky: (B, H, W), 1 where there is sky, 0 where there is none and -1 where nobody knows.
        """
        mask = torch.isfinite(target) & (target > 0)
        if sky is not None:
            mask = mask & (sky != 1)
        depth = resize_bilinear(_wide(prediction.depth[:, None]), target.shape[-2:])[:, 0]
        if self.kind == 'relative_disparity':
            target = _disparity(target, mask)
        losses = {}
        if self.silog:
            losses['loss_silog'] = self.silog * silog_loss(depth, target, mask, self.silog_convention)
        if self.l1:
            losses['loss_l1'] = self.l1 * masked_l1(depth, target, mask)
        if self.ssi:
            losses['loss_ssi'] = self.ssi * ssi_loss(depth, target, mask, self.ssi_alignment, self.trim, self.gradient)
        elif self.gradient:
            error = _log_ratio if self.kind == 'metric' else _difference
            losses['loss_gradient'] = self.gradient * gradient_loss(error(depth, target, mask), mask)
        if self.sky and sky is not None and prediction.sky is not None:
            logits = resize_bilinear(_wide(prediction.sky[:, None]), sky.shape[-2:])[:, 0]
            losses['loss_sky'] = self.sky * sky_loss(logits, sky)
        elif prediction.sky is not None:  # distributed training waits for a gradient of every parameter
            losses['loss_sky'] = 0 * _wide(prediction.sky).sum()
        return losses


def sky_loss(logits: Tensor, sky: Tensor) -> Tensor:
    """The mean binary cross-entropy of logits (B, H, W), with a target that is 1 for sky, 0, or -1 for unknown."""
    known = sky >= 0
    logits = _wide(logits)
    errors = F.binary_cross_entropy_with_logits(logits, sky.clamp(min=0).to(logits), reduction='none')
    return torch.where(known, errors, 0.).sum() / known.sum().clamp(min=1)


def _wide(x: Tensor) -> Tensor:
    """In single precision at least: half precision has three digits, of which differences leave one."""
    return x if x.dtype == torch.float64 else x.float()


def _difference(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Prediction - target, 0 outside of the mask."""
    return torch.where(mask, _wide(prediction) - torch.where(mask, _wide(target), 0.), 0.)


def _log_ratio(prediction: Tensor, target: Tensor, mask: Tensor, eps: float = _EPS) -> Tensor:
    """log prediction - log target, 0 outside of the mask."""
    target = torch.where(mask, _wide(target), 1.)
    return torch.where(mask, (_wide(prediction).clamp(min=0.) + eps).log() - (target + eps).log(), 0.)


def _trimmed_sum(errors: Tensor, mask: Tensor, trim: float) -> Tensor:
    """The sum of (B, H, W) errors in the mask without the greatest of each image, of which ``trim`` is the share."""
    if not trim:
        return torch.where(mask, errors, 0.).sum()
    order = torch.where(mask, errors, torch.inf).flatten(1).sort(1).values
    kept = ((1 - trim) * mask.sum((1, 2))).long()
    inside = torch.arange(order.shape[1], device=order.device) < kept[:, None]
    return torch.where(inside, order, 0.).sum()


def _disparity(depth: Tensor, mask: Tensor) -> Tensor:
    """1 / depth of each image, scaled so that the pixels of the mask are in [0, 10]; 0 outside of it."""
    disparity = 1 / torch.where(mask, _wide(depth), 1.)
    least = torch.where(mask, disparity, torch.inf).amin((1, 2), keepdim=True)
    most = torch.where(mask, disparity, -torch.inf).amax((1, 2), keepdim=True)
    spread = most - least
    has_spread = torch.isfinite(spread) & (spread > 0)
    scaled = 10 * (disparity - torch.where(has_spread, least, 0.)) / torch.where(has_spread, spread, 1.)
    return torch.where(mask & has_spread, scaled, 0.)
