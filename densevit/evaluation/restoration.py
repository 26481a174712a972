"""PSNR, SSIM and others of a data set, with the protocol in the name of the figures."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..registry import METRICS
from .fidelity import LPIPS_SIDE, SSIM_WINDOW, Protocol, lpips, psnr, psnr_b, ssim

Figure = Literal['PSNR', 'SSIM', 'PSNRB', 'LPIPS', 'hole_PSNR']
_LEAST_SIDES = dict(SSIM=SSIM_WINDOW, LPIPS=LPIPS_SIDE)  # of images, within the border


@METRICS.register_module()
class RestorationMetric(BaseMetric):
    """Means over the images of a data set, each of ``pred_img`` as a file would hold it, clipped and rounded.

    The figures are called after the protocol, for example ``Y_border2/PSNR`` (in dB) or ``RGB/SSIM``: the same
    prediction has figures of other protocols that differ by decibels.

    Args:
        figures: Of ``'PSNR'``, ``'SSIM'``, for JPEG ``'PSNRB'``, and of RGB ``'LPIPS'`` with AlexNet, which needs
            torchmetrics; ``'hole_PSNR'``, that of the pixels of the sample's ``mask`` alone.
        crop_border: Pixels left out at each side; the scale in papers on super-resolution, else 0.
        y_channel: Whether luma is compared, as in papers on super-resolution, or RGB.
        round_y: Whether luma is rounded, see :func:`densevit.evaluation.psnr`.
        collect_device, collect_dir: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: A figure is unknown, or is of RGB where luma is compared.
    """

    def __init__(self, figures: Sequence[Figure] = ('PSNR', 'SSIM'), crop_border: int = 0, y_channel: bool = False,
                 round_y: bool = False, collect_device: str = 'cpu', collect_dir: str | None = None) -> None:
        if unknown := [figure for figure in figures if figure not in get_args(Figure)]:
            raise ValueError(f'RestorationMetric knows no {unknown[0]!r}: choose of {", ".join(get_args(Figure))}')
        if 'LPIPS' in figures and y_channel:
            raise ValueError("LPIPS compares RGB: give it to another RestorationMetric, with y_channel=False")
        self.figures, self.protocol = tuple(figures), Protocol(crop_border, y_channel, round_y)
        super().__init__(collect_device, str(self.protocol), collect_dir)

    @property
    def least_side(self) -> int:
        """The shortest side of images that can be compared, in pixels."""
        least = max((_LEAST_SIDES.get(figure, 1) for figure in self.figures), default=1)
        return 2 * self.protocol.crop_border + least

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Compare ``pred_img`` of each sample with its ``gt_img``, uint8 or uint16.

        Raises:
            ValueError: A true image is of another type.
        """
        for sample in data_samples:
            target = _to_array(sample['gt_img'])
            pred = as_file(sample['pred_img'], target.dtype)
            mask = sample['mask'][0].cpu().numpy() if 'mask' in sample else None
            self.results.append([self._compare(figure, pred, target, mask) for figure in self.figures])

    def _compare(self, figure: Figure, pred: np.ndarray, target: np.ndarray, mask: np.ndarray | None) -> float:
        crop_border, y_channel, round_y = self.protocol
        if figure == 'hole_PSNR':
            if mask is None:
                raise ValueError("RestorationMetric has 'hole_PSNR' and a sample has no mask: add "
                                 "dict(type='densevit.Holes', seed=0) to the pipeline before densevit.PackPair")
            return psnr(pred, target, crop_border, y_channel, round_y, mask)
        if figure == 'LPIPS':
            return lpips(pred, target, crop_border)
        if figure == 'PSNRB':
            return psnr_b(pred, target, crop_border, y_channel)
        return (psnr if figure == 'PSNR' else ssim)(pred, target, crop_border, y_channel, round_y)

    def compute_metrics(self, results: list[list[float]]) -> dict[str, float]:
        """Mean over the images, as all papers have it."""
        return dict(zip(self.figures, np.mean(results, axis=0).tolist(), strict=True))


def as_file(image: Tensor, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """(C, H, W) in [0, 1] to (H, W, C) of a type of integers, clipped and rounded."""
    values = image.detach().double().clamp(0, 1).mul(np.iinfo(dtype).max).round()
    return values.cpu().numpy().transpose(1, 2, 0).astype(dtype)


def _to_array(image: Tensor) -> np.ndarray:
    if image.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f'gt_img of {image.dtype} has no scale: true images of a metric are of torch.uint8 or uint16, '
                         "as dict(type='densevit.LoadPair') reads them")
    return image.detach().cpu().to(torch.int64).numpy().transpose(1, 2, 0).astype(
        np.uint8 if image.dtype == torch.uint8 else np.uint16)
