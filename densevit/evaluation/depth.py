"""Errors of depth, with every convention that changes a number named: crop, range, clamp, alignment and flip."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ..images import read_image
from ..registry import METRICS
from .depth_pictures import error_panels
from .pictures import ErrorPictures, Panel

Crop = Literal['none', 'nyu_eigen', 'kitti_eigen', 'kitti_garg']
Alignment = Literal['none', 'median', 'least_squares', 'least_squares_disparity']

_NYU = (45 / 480, 471 / 480, 41 / 640, 601 / 640)  # rows and columns of 480x640 pixels
# Top, bottom, left and right as shares of the height and width; arXiv:1406.2283 and arXiv:1603.04992 as BTS has them.
_CROPS: dict[str, tuple[float, float, float, float] | None] = dict(
    none=None,
    nyu_eigen=_NYU,
    kitti_eigen=(.3324324, .91351351, .0359477, .96405229),
    kitti_garg=(.40810811, .99189189, .03594771, .96405229))
_LEAST = 1e-8  # of what is divided by


class DepthRange(NamedTuple):
    """Metres between which ground truth counts, both exclusive."""
    least: float
    most: float


def crop_mask(crop: Crop, size: Sequence[int]) -> np.ndarray:
    """(H, W) bool: the pixels of an image of that size that a crop keeps."""
    height, width = size
    mask = np.ones((height, width), bool)
    if (shares := _CROPS[crop]) is not None:
        top, bottom, left, right = (int(round(share * side, 6)) for share, side in zip(
            shares, (height, height, width, width), strict=True))
        mask[:] = False
        mask[top:bottom, left:right] = True
    return mask


def align(
    prediction: np.ndarray,
    truth: np.ndarray,
    alignment: Alignment,
    is_disparity: bool = False,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """A prediction in metres, fitted to the ground truth.

    Args:
        prediction, truth: (H, W) or (N,) floats: depth, or disparity if ``is_disparity``, and metres.
        alignment: ``'none'``. ``'median'``: scaled so that the medians agree (SfM-Learner). ``'least_squares'``: scale
            and shift of depth (Marigold). ``'least_squares_disparity'``: scale and shift of the inverse depth (MiDaS).
        is_disparity: What the prediction is.
        mask: By which pixels it is fitted; None is all.

    Raises:
        ValueError: A relative disparity with another alignment than its own.
    """
    if is_disparity and alignment != 'least_squares_disparity':
        raise ValueError(f"alignment='{alignment}' cannot be used for a network that gives relative disparity: set "
                         "alignment='least_squares_disparity' in the evaluator")
    mask = np.ones(truth.shape, bool) if mask is None else mask
    prediction, known = prediction.astype(np.float64), truth[mask].astype(np.float64)
    if alignment == 'median':
        return prediction * (np.median(known) / max(np.median(prediction[mask]), _LEAST))
    if alignment == 'least_squares':
        scale, shift = _least_squares(prediction[mask], known)
        return scale * prediction + shift
    if alignment == 'least_squares_disparity':
        disparity = prediction if is_disparity else 1 / np.maximum(prediction, _LEAST)
        scale, shift = _least_squares(disparity[mask], 1 / known)
        return 1 / np.maximum(scale * disparity + shift, _LEAST)  # what is not positive lies behind all that counts
    return prediction


def _least_squares(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Scale and shift that bring x nearest to y."""
    centred = x - x.mean()
    variance = (centred**2).mean()
    scale = float((centred * (y - y.mean())).mean() / variance) if variance > 0 else 0.
    return scale, float(y.mean() - scale * x.mean())


def depth_errors(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The figures of one image, of positive metres (N,) of the pixels that count.

    ``delta1``, ``delta2``, ``delta3``: the shares of pixels whose ratio to the truth is below 1.25, 1.25^2, 1.25^3.
    ``AbsRel``: mean |d| / truth. ``SqRel``: mean d^2 / truth (Eigen); ``SqRelKITTI``: mean (d / truth)^2, as KITTI's
    server and deeplab2 have it. ``RMSE`` and ``MAE`` in metres; ``RMSElog`` of natural logarithms; ``log10``: the mean
    of |log10 ratio|. ``SILog``: 100 sqrt(mean e^2 - mean(e)^2) with e the log ratio (KITTI, BTS); ``SILogEigen``: sqrt(
    mean e^2 - mean(e)^2 / 2), as mmsegmentation and Depth Anything V2 print it.
    """
    prediction, truth = prediction.astype(np.float64), truth.astype(np.float64)
    difference, error = prediction - truth, np.log(prediction) - np.log(truth)
    ratio = np.exp(np.abs(error))
    square, mean = (error**2).mean(), error.mean()
    return dict(
        delta1=float((ratio < 1.25).mean()),
        delta2=float((ratio < 1.25**2).mean()),
        delta3=float((ratio < 1.25**3).mean()),
        AbsRel=float((np.abs(difference) / truth).mean()),
        SqRel=float((difference**2 / truth).mean()),
        SqRelKITTI=float(((difference / truth)**2).mean()),
        RMSE=float(np.sqrt((difference**2).mean())),
        MAE=float(np.abs(difference).mean()),
        RMSElog=float(np.sqrt(square)),
        log10=float((np.abs(error) / np.log(10)).mean()),
        SILog=float(100 * np.sqrt(max(square - mean**2, 0.))),
        SILogEigen=float(np.sqrt(max(square - mean**2 / 2, 0.))))


@METRICS.register_module()
class DepthErrorMetric(BaseMetric):
    """Errors of depth over the pixels with ground truth: of each image, then their mean over images.

    The figures are those of :func:`depth_errors`, and their names begin with the convention: crop, range, clamp,
    alignment and, of predictions that are the mean with those of mirrored images, flip, as in
    ``nyu_eigen_0.001-10m_clamped/delta1``. Images without a pixel that counts are left out.

    Args:
        crop: The part of the image that counts. ``'nyu_eigen'``: rows 45 to 471 and columns 41 to 601 of 480x640;
            ``'kitti_eigen'``, ``'kitti_garg'``: theirs of KITTI. At other sizes the shares are the same.
        min_depth, max_depth: Ground truth outside does not count: 0.001 and 10 for NYUv2, 80 for KITTI.
        clamp: Whether predictions are brought into that range first: BTS, AdaBins and ZoeDepth do, mmsegmentation and
            Depth Anything V2 do not. Negative depth is at least ``min_depth`` in either case.
        alignment: What is fitted to the truth of each image first, see :func:`align`. Of networks without metres it is
            ``'least_squares_disparity'`` or ``'least_squares'``.
        kind: What predictions are: ``'metric'``, ``'relative_depth'`` or ``'relative_disparity'``.
        pictures: Of how many images input, truth, prediction and error are drawn beside each other, in a training anew
            with each validation, as ``depth/<name>.png``.
        folder: Where to; None is the folder of the run's log.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`; a ``prefix`` stands in the
            place of the convention.

    Raises:
        ValueError: An argument is not one of the above.
        KeyError: A data sample lacks prediction or ground truth.
    """

    def __init__(
        self,
        crop: Crop = 'none',
        min_depth: float = 1e-3,
        max_depth: float = 10.,
        clamp: bool = True,
        alignment: Alignment = 'none',
        kind: str = 'metric',
        pictures: int = 0,
        folder: str | Path | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        if crop not in _CROPS or alignment not in get_args(Alignment):
            raise ValueError(f'DepthErrorMetric has crop={crop!r} and alignment={alignment!r}: crops are '
                             f'{", ".join(_CROPS)}, alignments {", ".join(get_args(Alignment))}')
        if not 0 < min_depth < max_depth:
            raise ValueError(f'DepthErrorMetric has min_depth={min_depth} and max_depth={max_depth}: give metres, the '
                             'first above 0 and below the second')
        if kind != 'metric' and alignment == 'none':
            raise ValueError(f"DepthErrorMetric has kind={kind!r}, which has no metres: set alignment='least_squares'"
                             + (' or ' if kind == 'relative_depth' else '_disparity')
                             + ("'median'" if kind == 'relative_depth' else "'"))
        self.crop, self.clamp, self.alignment, self.kind = crop, clamp, alignment, kind
        self.range = DepthRange(min_depth, max_depth)
        self.pictures = ErrorPictures(pictures, 'depth', folder)
        self._flipped, self._is_named = False, bool(prefix)
        super().__init__(collect_device, prefix or self.convention, collect_dir)

    @property
    def convention(self) -> str:
        """All that changes a number, in one word."""
        parts = [self.crop if self.crop != 'none' else 'full', f'{self.range.least:g}-{self.range.most:g}m',
                 *['clamped'] * self.clamp, *[self.alignment] * (self.alignment != 'none'), *['flip'] * self._flipped]
        return '_'.join(parts)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare the predictions of a batch."""
        for sample in data_samples:
            given = sample['pred_depth_map'].get('kind', self.kind)
            if given != self.kind:
                raise ValueError(f"the network gives kind='{given}', and DepthErrorMetric has kind='{self.kind}': set "
                                 f"kind='{given}' in the evaluator" + (', and the alignment that it needs' * (
                                     given != 'metric')))
            self._flipped = bool(sample['pred_depth_map'].get('flip'))  # the same for all images of a test
            prediction = _numpy(sample['pred_depth_map']['data'])
            truth = _numpy(sample['gt_depth_map']['data'])
            if prediction.shape != truth.shape:
                raise ValueError(f'{sample.get("img_path", "an image")} has a prediction of {prediction.shape} pixels '
                                 f'and depth of {truth.shape}: let LoadDepth follow the resize in the test pipeline')
            mask = (truth > self.range.least) & (truth < self.range.most) & np.isfinite(truth)
            mask &= crop_mask(self.crop, truth.shape)
            if not mask.any():
                self.results.append(None)
                continue
            metres = align(prediction[mask], truth[mask], self.alignment, self.kind == 'relative_disparity')
            metres = np.clip(metres, self.range.least, self.range.most if self.clamp else None)
            self.results.append(depth_errors(metres, truth[mask]))
            self.pictures.draw(Path(sample.get('img_path', 'image')).stem, partial(
                self._panels, sample, truth, mask, prediction), self.convention)

    def _panels(self, sample: dict[str, Any], truth: np.ndarray, mask: np.ndarray, prediction: np.ndarray
                ) -> list[Panel]:
        whole = align(prediction, truth, self.alignment, self.kind == 'relative_disparity', mask)
        return error_panels(read_image(sample['img_path']), np.where(mask, truth, 0), whole)

    def compute_metrics(self, results: list[dict[str, float] | None]) -> dict[str, float]:
        """Means over the images."""
        self.pictures.begin_anew()
        if not self._is_named:
            self.prefix = self.convention
        counted = [each for each in results if each is not None]
        if missing := len(results) - len(counted):
            print_log(f'{missing} of {len(results)} images have no depth between {self.range.least:g} and '
                      f'{self.range.most:g} m in the crop {self.crop!r} and are left out', 'current', logging.WARNING)
        if not counted:
            return dict.fromkeys(depth_errors(np.ones(1), np.ones(1)), float('nan'))
        return {name: float(np.mean([each[name] for each in counted])) for name in counted[0]}


def _numpy(data: Any) -> np.ndarray:
    return np.asarray(data.cpu() if hasattr(data, 'cpu') else data, np.float32)[0]
