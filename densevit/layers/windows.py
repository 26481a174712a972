"""Overlapping windows over an image: where they lie and how their predictions are averaged."""
from __future__ import annotations

from collections.abc import Callable
from math import ceil

from torch import Tensor


def window_origins(length: int, window: int, stride: int | None = None) -> list[int]:
    """Start positions of windows of ``window`` pixels that cover ``length`` pixels.

    Without ``stride`` the fewest windows are spread evenly (EoMT's protocol); with it, windows lie ``stride`` pixels
    apart and the last one is moved back to end at the border (mmsegmentation's protocol).
    """
    if length <= window:
        return [0]
    if stride is not None:
        count = ceil((length - window) / stride) + 1
        return [min(i * stride, length - window) for i in range(count)]
    count = ceil(length / window)
    return [int(i * (length - window) / (count - 1)) for i in range(count)]


def average_windows(
    images: Tensor,
    window: tuple[int, int],
    predict: Callable[[Tensor], Tensor],
    stride: tuple[int, int] | None = None,
) -> Tensor:
    """Predict window by window and average where windows overlap.

    Args:
        images: (B, 3, H, W).
        window: (h, w) in pixels; a side longer than the image is cut to it.
        predict: (B, 3, h, w) -> (B, C, h, w).
        stride: (dy, dx) in pixels; evenly spread windows when omitted.

    Returns:
        (B, C, H, W).
    """
    height, width = images.shape[-2:]
    h, w = min(window[0], height), min(window[1], width)
    rows = window_origins(height, h, stride and stride[0])
    cols = window_origins(width, w, stride and stride[1])
    total = count = None
    for y in rows:
        for x in cols:
            scores = predict(images[..., y:y + h, x:x + w])
            if total is None:
                total = scores.new_zeros(*scores.shape[:2], height, width)
                count = scores.new_zeros(1, 1, height, width)
            total[..., y:y + h, x:x + w] += scores
            count[..., y:y + h, x:x + w] += 1
    return total / count
