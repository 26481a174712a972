"""Where overlapping windows over an image lie."""
from __future__ import annotations

from math import ceil


def window_origins(length: int, window: int, stride: int | None = None, overlap: int = 0) -> list[int]:
    """Start positions of windows of ``window`` pixels that cover ``length`` pixels.

    Without ``stride`` the fewest windows that share at least ``overlap`` pixels with the next one are spread evenly
    (EoMT's protocol has no overlap); with it, windows lie ``stride`` pixels apart and the last one is moved back to end
    at the border (mmsegmentation's protocol).

    Raises:
        ValueError: The overlap is negative or as long as a window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f'windows of {window} pixels cannot overlap by {overlap}')
    if length <= window:
        return [0]
    if stride is not None:
        count = ceil((length - window) / stride) + 1
        return [min(i * stride, length - window) for i in range(count)]
    count = ceil((length - overlap) / (window - overlap))
    return [int(i * (length - window) / (count - 1)) for i in range(count)]
