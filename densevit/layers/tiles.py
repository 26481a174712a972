"""Where overlapping windows over an image lie."""
from __future__ import annotations

from math import ceil


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
