"""Errors of opacity in the four figures that papers on matting print, in their scaling."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import ceil, log, pi, sqrt
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from mmengine.evaluator import BaseMetric
from scipy.ndimage import correlate1d, label

from ..images import read_image
from ..registry import METRICS
from .pictures import ErrorPictures, Panel

Region = Literal['unknown', 'whole']

_SIGMA = 1.4  # of the derivatives of a Gaussian, in pixels
_CUT = .01  # the value of the Gaussian where its kernel ends
_STEP, _LEAST = .1, .15  # between the thresholds of the connectivity, and of what counts as disconnected


def sum_of_differences(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """SAD: the sum of absolute differences over the mask, in thousands of pixels."""
    return float(np.abs(prediction - truth)[mask].sum() / 1000)


def mean_squared_error(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """MSE: the mean squared difference over the mask, in thousandths; 0 of an empty one."""
    return float(1000 * ((prediction - truth)[mask]**2).mean()) if mask.any() else 0.


def gradient_error(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Grad: the sum of squared differences of gradients over the mask, in thousands (Rhemann et al., CVPR 2009).

    Gradients are lengths of derivatives of a Gaussian of 1.4 pixels, whose kernel has a length of 1, of maps that are
    stretched to [0, 1] each, as in the code that the benchmarks hand out.
    """
    difference = _gradient(_stretched(prediction)) - _gradient(_stretched(truth))
    return float((difference[mask]**2).sum() / 1000)


def connectivity_error(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Conn: the sum of differences in how connected pixels are to the object, in thousands (Rhemann et al., CVPR 2009).

    The object at a threshold of 0, 0.1 ... 1 is the largest connected part, along sides, of what both maps have at
    least so opaque. A pixel is connected to it up to the threshold before the first at which it is left out, and what
    its opacity has above that counts from 0.15 on.
    """
    level = np.full(prediction.shape, -1.)
    thresholds = np.arange(0, 1 + _STEP, _STEP)
    for before, threshold in pairwise(thresholds):
        parts, count = label((prediction >= threshold) & (truth >= threshold))
        largest = np.bincount(parts.ravel(), minlength=2)[1:].argmax() + 1 if count else -1
        level[(level == -1) & (parts != largest)] = before
    level[level == -1] = 1

    def connected(alpha: np.ndarray) -> np.ndarray:
        above = alpha - level
        return 1 - above * (above >= _LEAST)

    return float(np.abs(connected(prediction) - connected(truth))[mask].sum() / 1000)


def matting_errors(prediction: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The four figures of one image, by the names of papers.

    Args:
        prediction, truth: (H, W) opacities in [0, 1].
        mask: (H, W) bool, the pixels that count.
    """
    prediction, truth = prediction.astype(np.float64), truth.astype(np.float64)
    return dict(
        SAD=sum_of_differences(prediction, truth, mask),
        MSE=mean_squared_error(prediction, truth, mask),
        Grad=gradient_error(prediction, truth, mask),
        Conn=connectivity_error(prediction, truth, mask))


@METRICS.register_module()
class MattingMetric(BaseMetric):
    """SAD, MSE (in thousandths), Grad and Conn (:func:`matting_errors`): of each image, then their mean over images.

    Published figures are those of files of 8 bits.

    Args:
        region: ``'unknown'``: where the trimap is unknown, as for Composition-1k. ``'whole'``: everywhere, as for
            Distinctions-646.
        eight_bits: Whether predictions and truth are rounded to 255ths first.
        pictures: Of how many images input, trimap, truth, prediction and error are drawn beside each other, in a
            training anew with each validation, as ``matting/<name>.png``.
        folder: Where to; None is the folder of the run's log.
        collect_device, prefix, collect_dir: See :class:`mmengine.evaluator.BaseMetric`; the prefix is the region unless
            another is given.

    Raises:
        ValueError: There is no such region, sizes differ, no image was compared, or a data sample lacks its truth or,
            for the unknown region, its trimap.
        KeyError: A data sample lacks its prediction.
    """

    def __init__(
        self,
        region: Region = 'unknown',
        eight_bits: bool = True,
        pictures: int = 0,
        folder: str | Path | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        if region not in get_args(Region):
            raise ValueError(f"MattingMetric has region={region!r}: choose 'unknown' or 'whole'")
        self.region, self.eight_bits = region, eight_bits
        self._needs = dict(gt_alpha="add dict(type='densevit.LoadAlpha') to the test pipeline")
        if region == 'unknown':
            self._needs['trimap'] = ('give densevit.LoadAlpha of the test pipeline a trimap_width, or the data set a '
                                     "folder of trimaps, data_prefix.trimap_path; region='whole' needs none")
        self.pictures = ErrorPictures(pictures, 'matting', folder)
        super().__init__(collect_device, prefix or region, collect_dir)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare the predictions of a batch."""
        for index, sample in enumerate(data_samples):
            for name, remedy in self._needs.items():
                if name not in sample:
                    raise ValueError(f'{sample.get("img_path", "an image")} has no {name} to compare with: {remedy}')
            prediction, truth = (sample[name]['data'][0].double().cpu().numpy() for name in ('pred_alpha', 'gt_alpha'))
            if prediction.shape != truth.shape:
                raise ValueError(f'{sample.get("img_path", "an image")} has a prediction of {prediction.shape} pixels '
                                 f'and an opacity of {truth.shape}: let LoadAlpha follow the resize in the test '
                                 'pipeline')
            if self.eight_bits:  # in double precision: thresholds of the connectivity are among the 255ths
                prediction, truth = (np.round(alpha * 255) / 255 for alpha in (prediction, truth))
            mask = np.ones(truth.shape, bool)
            if self.region == 'unknown':
                mask = sample['trimap']['data'][0].cpu().numpy() == .5
            errors = matting_errors(prediction, truth, mask)
            self.results.append(errors)
            title = ', '.join(f'{name} {value:.4g}' for name, value in errors.items())
            self.pictures.draw(Path(sample.get('img_path', 'image')).stem, partial(
                _panels, data_batch, index, sample, truth, prediction), f'{title} ({self.region})')

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """The mean over images."""
        self.pictures.begin_anew()
        if not results:
            raise ValueError('MattingMetric has compared no image: the data set that is evaluated is empty')
        return {name: float(np.mean([each[name] for each in results])) for name in results[0]}


def _panels(data_batch: Any, index: int, sample: dict[str, Any], truth: np.ndarray, prediction: np.ndarray
            ) -> list[Panel]:
    shares = dict(cmap='gray', vmin=0, vmax=1)
    trimap = [Panel('trimap', sample['trimap']['data'][0].cpu().numpy(), shares)] if 'trimap' in sample else []
    # Red is too opaque, blue too transparent.
    error = Panel('error', prediction - truth, dict(cmap='RdBu_r', vmin=-.5, vmax=.5), '%+.2g')
    return [Panel('image', _image(data_batch, index, sample)), *trimap, Panel('truth', truth, shares),
            Panel('prediction', prediction, shares), error]


def _image(data_batch: Any, index: int, sample: dict[str, Any]) -> np.ndarray:
    """(H, W, 3) uint8: the file, or what was composed of it, which is in no file."""
    if 'background' in sample:
        return data_batch['inputs'][index].cpu().numpy().transpose(1, 2, 0)[..., ::-1]
    return read_image(sample['img_path'])


def _stretched(alpha: np.ndarray) -> np.ndarray:
    """To [0, 1]; what is the same everywhere becomes 0."""
    least, spread = alpha.min(), np.ptp(alpha)
    return (alpha - least) / spread if spread > 0 else np.zeros_like(alpha)


def _gradient(alpha: np.ndarray) -> np.ndarray:
    """The length of the gradient of (H, W), by derivatives of a Gaussian; what lies outside is as the border is."""
    half = ceil(_SIGMA * sqrt(-2 * log(sqrt(2 * pi) * _SIGMA * _CUT)))
    x = np.arange(-half, half + 1)
    gauss = np.exp(-x**2 / (2 * _SIGMA**2)) / (_SIGMA * sqrt(2 * pi))
    slope = -x * gauss / _SIGMA**2
    length = np.linalg.norm(np.outer(gauss, slope))  # of the kernel of both
    return np.hypot(*(correlate1d(correlate1d(alpha, slope / length, axis, mode='nearest'), gauss, 1 - axis,
                                  mode='nearest') for axis in (0, 1)))
