"""An image, its depth, a prediction and its error beside each other."""
from __future__ import annotations

import io

import numpy as np


def draw_errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, title: str = '') -> bytes:
    """Draw four panels as PNG; both depths have one scale of colours.

    Args:
        image: (H, W, 3) uint8, RGB.
        truth: (H, W) metres, 0 where they are not known.
        prediction: (H, W) metres.
        title: What stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second that other users need not wait for
    from matplotlib.figure import Figure  # without pyplot, whose figures and backend are global

    known = truth > 0
    ratio = np.where(known, np.log(np.maximum(prediction, 1e-3)) - np.log(np.where(known, truth, 1)), np.nan)
    least, most = np.percentile(truth[known], (1, 99)) if known.any() else (0, 1)
    height, width = truth.shape
    figure = Figure(figsize=(14, .6 + 14 / 4 * height / width), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4)
    depths = dict(cmap='turbo_r', vmin=least, vmax=most)
    axes[0].imshow(image)
    axes[1].imshow(np.where(known, truth, np.nan), **depths)
    shown = axes[2].imshow(prediction, **depths)
    # Red is too far, blue too near; full colour is where delta1 no longer counts a pixel.
    error = axes[3].imshow(np.exp(ratio) - 1, cmap='RdBu_r', vmin=-.25, vmax=.25)
    for axis, name in zip(axes, ('image', 'truth', 'prediction', 'error'), strict=True):
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes[2], format='%g m', shrink=.8)
    figure.colorbar(error, ax=axes[3], format=lambda value, _: f'{value:+.0%}', shrink=.8)
    if title:
        figure.suptitle(title, fontsize=9)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=100)
    return file.getvalue()
