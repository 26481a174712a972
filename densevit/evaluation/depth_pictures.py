"""An image, its depth, a prediction and its error beside each other."""
from __future__ import annotations

import numpy as np

from .pictures import Panel


def error_panels(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> list[Panel]:
    """Four panels; both depths have one scale of colours.

    Args:
        image: (H, W, 3) uint8, RGB.
        truth: (H, W) metres, 0 where they are not known.
        prediction: (H, W) metres.
    """
    known = truth > 0
    ratio = np.where(known, np.log(np.maximum(prediction, 1e-3)) - np.log(np.where(known, truth, 1)), np.nan)
    least, most = np.percentile(truth[known], (1, 99)) if known.any() else (0, 1)
    depths = dict(cmap='turbo_r', vmin=least, vmax=most)
    return [
        Panel('image', image),
        Panel('truth', np.where(known, truth, np.nan), depths),
        Panel('prediction', prediction, depths, '%g m'),
        # Red is too far, blue too near; full colour is where delta1 no longer counts a pixel.
        Panel('error', np.exp(ratio) - 1, dict(cmap='RdBu_r', vmin=-.25, vmax=.25), lambda value, _: f'{value:+.0%}'),
    ]
