"""Depth of the frames of a video, without the flicker of scales that each frame has for itself."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from .depth import DepthResult

_MOST_PIXELS = 2**16  # of a frame that are looked at: more do not change a median
_ROUNDS = 3  # of a robust fit


def stabilise(results: Iterable[DepthResult], inertia: float = .9) -> Iterator[DepthResult]:
    """Depth of successive frames at one scale and, for disparity, one shift.

    A network sees one frame at a time, so that its scale (for relative disparity its shift, too) jumps between frames
    that hardly differ. Each frame is fitted to the one before as it was given out, by most of its pixels: those that
    differ much, because something moved, do not count. A share of ``1 - inertia`` of the fit is let go of with each
    frame, so that errors do not add up and a cut to another scene is over after some frames.

    Args:
        results: Of `Predictor.predict` or `predict_iter`, in the order of time, of one size and kind.
        inertia: In [0, 1): how much of a frame's correction is kept; 0 changes nothing.

    Raises:
        ValueError: ``inertia`` is none, or two frames differ in size or kind.
    """
    if not 0 <= inertia < 1:
        raise ValueError(f'inertia={inertia}: give a number from 0 to below 1')
    last: DepthResult | None = None
    for result in results:
        if last is not None:
            if (result.image_size, result.kind) != (last.image_size, last.kind):
                raise ValueError(f'a frame of {result.image_size} pixels ({result.kind}) follows one of '
                                 f'{last.image_size} ({last.kind}): give frames of one video')
            scale, shift = fit_frames(result.values, last.values, result.kind == 'relative_disparity')
            scale, shift = scale**inertia, shift * inertia
            result = replace(result, values=(scale * result.values + shift).astype(np.float32))
        last = result
        yield result


def fit_frames(values: np.ndarray, before: np.ndarray, with_shift: bool) -> tuple[float, float]:
    """Scale and shift that bring (H, W) values to those of the frame before, for most of the pixels."""
    step = max(1, round((values.size / _MOST_PIXELS)**.5))
    x, y = (each[::step, ::step].ravel().astype(np.float64) for each in (values, before))
    if not with_shift:
        keep = (x > 0) & (y > 0)
        return (float(np.exp(np.median(np.log(y[keep] / x[keep])))), 0.) if keep.any() else (1., 0.)
    keep = np.ones(len(x), bool)
    scale, shift = 1., 0.
    for _ in range(_ROUNDS):
        if keep.sum() < 2 or np.ptp(x[keep]) == 0:
            return 1., 0.
        scale, shift = np.polyfit(x[keep], y[keep], 1)
        error = np.abs(scale * x + shift - y)
        keep = error <= max(3 * np.median(error), 1e-9)
    return (float(scale), float(shift)) if scale > 0 else (1., 0.)
