"""RoIAlign behind ``mmcv.ops``: Mask R-CNN (arXiv:1703.06870), section 3, plus mmcv's max variant."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from .precision import widen

_MAX = 0  # the other pool_mode, 1, averages


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` (R, C, h, w) from ``input`` (B, C, H, W) and ``rois`` (R, 5) = (image index, x1, y1, x2, y2).

    A bin is sampled on ``sampling_ratio`` x ``sampling_ratio`` points, or ceil(bin size) points a side if that is 0.
    With ``pool_mode`` 0 the largest sample wins and its position, in input pixels, goes to ``argmax_y`` and
    ``argmax_x`` of the shape of ``output``; a bin without samples is 0 with position -1.
    """
    size = (aligned_height, aligned_width)
    features = widen(input)
    rois = rois.to(features.dtype)
    if pool_mode == _MAX:
        _max_forward(features, rois, (output, argmax_y, argmax_x), size, spatial_scale, sampling_ratio, aligned)
    else:
        output.copy_(torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add to ``grad_input`` (B, C, H, W) what ``grad_output`` (R, C, h, w) passes through the bins."""
    if pool_mode == _MAX:
        _max_backward(grad_output, rois, argmax_y, argmax_x, grad_input)
        return
    grad = widen(grad_output)
    # The operator behind torchvision's own autograd: through autograd it would cost a forward as well.
    passed = torch.ops.torchvision._roi_align_backward(
        grad,
        widen(rois).to(grad.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.add_(passed)


def _max_forward(
    features: Tensor,
    rois: Tensor,
    buffers: tuple[Tensor, Tensor, Tensor],
    size: tuple[int, int],
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> None:
    shift = 0.5 if aligned else 0.0
    corners = rois[:, 1:] * scale - shift
    start, extent = corners[:, [1, 0]], corners[:, [3, 2]] - corners[:, [1, 0]]  # (R, 2) as (y, x)
    if not aligned:
        extent = extent.clamp(min=1.0)
    bins = extent / torch.tensor(size, device=rois.device)
    samples = bins.new_full(bins.shape, sampling_ratio) if sampling_ratio > 0 else bins.ceil()
    output, argmax_y, argmax_x = buffers
    output.zero_(), argmax_y.fill_(-1), argmax_x.fill_(-1)
    # RoIs that share a number of samples a side form one batch, so the loop is over sizes and not over RoIs.
    for ny, nx in samples.clamp(min=0).long().unique(dim=0).tolist():
        if ny == 0 or nx == 0:
            continue
        pick = (samples == samples.new_tensor([ny, nx])).all(1).nonzero().squeeze(1)
        ys = _sample_positions(start[pick, 0], bins[pick, 0], size[0], ny)
        xs = _sample_positions(start[pick, 1], bins[pick, 1], size[1], nx)
        values, y, x = _largest(_bilinear(features, rois[pick, 0].long(), ys, xs), ys, xs, ny, nx)
        for buffer, found in zip(buffers, (values, y, x), strict=True):
            buffer[pick] = found.to(buffer.dtype)


def _sample_positions(start: Tensor, bin_size: Tensor, bins: int, samples: int) -> Tensor:
    """Centres of ``samples`` equal parts of each bin: (R, bins * samples), in input pixels."""
    parts = (torch.arange(bins * samples, dtype=start.dtype, device=start.device) + 0.5) / samples
    return start[:, None] + bin_size[:, None] * parts


def _neighbours(position: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Indices below and above, and their weights. Positions up to one pixel outside use the border, others weigh 0."""
    inside = (position >= -1) & (position <= length)
    position = position.clamp(0, length - 1)
    low = position.floor()
    high = (low + 1).clamp(max=length - 1)
    above = position - low
    return low.long(), high.long(), (1 - above) * inside, above * inside


def _bilinear(features: Tensor, image: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """Sample ``features`` (B, C, H, W) of ``image`` (R,) on the grids ys (R, Y) x xs (R, X): (R, C, Y, X)."""
    y0, y1, wy0, wy1 = _neighbours(ys, features.shape[2])
    x0, x1, wx0, wx1 = _neighbours(xs, features.shape[3])
    channels_last = features.permute(0, 2, 3, 1)
    image, out = image[:, None, None], 0.0
    for y, wy in ((y0, wy0), (y1, wy1)):
        for x, wx in ((x0, wx0), (x1, wx1)):
            weight = (wy[:, :, None] * wx[:, None, :]).unsqueeze(-1)
            out = out + weight * channels_last[image, y[:, :, None], x[:, None, :]]  # (R, Y, X, C)
    return out.permute(0, 3, 1, 2)


def _largest(values: Tensor, ys: Tensor, xs: Tensor, ny: int, nx: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest of each bin's samples and its position: three tensors (R, C, h, w)."""
    by_bin = values.unflatten(3, (-1, nx)).unflatten(2, (-1, ny)).transpose(3, 4)  # (R, C, h, w, ny, nx)
    best, where = by_bin.flatten(4).max(-1)
    y_in_bin = ys.unflatten(1, (-1, ny))[:, None, :, None, :].expand(*best.shape, ny)
    x_in_bin = xs.unflatten(1, (-1, nx))[:, None, None, :, :].expand(*best.shape, nx)
    y = y_in_bin.gather(-1, (where // nx).unsqueeze(-1)).squeeze(-1)
    x = x_in_bin.gather(-1, (where % nx).unsqueeze(-1)).squeeze(-1)
    return best, y, x


def _max_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor) -> None:
    batch, channels, height, width = grad_input.shape
    y0, y1, wy0, wy1 = _neighbours(widen(argmax_y), height)
    x0, x1, wx0, wx1 = _neighbours(widen(argmax_x), width)
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)  # (R, C)
    base = plane[:, :, None, None] * height * width
    passed = widen(grad_output).new_zeros(batch * channels * height * width)
    grad = widen(grad_output) * (argmax_y != -1)
    for y, wy in ((y0, wy0), (y1, wy1)):
        for x, wx in ((x0, wx0), (x1, wx1)):
            passed.index_add_(0, (base + y * width + x).flatten(), (grad * wy * wx).flatten())
    grad_input.add_(passed.view_as(grad_input))
