"""Masks and boxes of COCO's files, looked at before pycocotools sees them: it trusts lengths and coordinates, in C."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

MIN_NUMBERS = 6  # of a polygon: three points
_MAX_DIGITS = 7  # of a number in a compressed RLE: 35 bits
_MAX_PERIMETER = 5_000_000  # of a polygon in pixels: pycocotools lists every fifth of a pixel of it


class MaskError(ValueError):
    """A mask is not one of its image; the message says why, and the caller of which annotation."""


def clean_mask(mask: Any, height: int, width: int) -> list[list[float]] | dict[str, Any] | None:
    """A mask that pycocotools can read, or None if nothing is left of it.

    Polygons of fewer than three points are left out, an RLE without a pixel is nothing, and counts are text.

    Args:
        mask: Polygons, ``[[x, y, x, y, ...], ...]`` in pixels, or an RLE, ``dict(size=[height, width], counts=...)``
            with a list or a compressed text.
        height, width: The size of the image in pixels.

    Raises:
        MaskError: A polygon has an odd number of coordinates, or one that is not finite or lies far outside of the
            image; an RLE is of another size, lacks its counts, or they do not add up to the pixels of the image.
    """
    if isinstance(mask, Mapping):
        return _clean_rle(mask, height, width)
    if not isinstance(mask, list | tuple):
        raise MaskError(f'has a segmentation of type {type(mask).__name__}, and COCO has lists of polygons, or RLE')
    kept = [polygon for polygon in mask if _is_polygon(polygon, height, width)]
    return kept or None


def _is_polygon(polygon: Any, height: int, width: int) -> bool:
    """Whether it has three points or more."""
    if not isinstance(polygon, list | tuple):
        raise MaskError(f'has {polygon!r:.40} in the place of a polygon: a segmentation is a list of lists, '
                        '[[x, y, x, y, ...]]')
    try:
        finite = math.isfinite(sum(polygon))  # one that is not makes the sum so
    except (TypeError, OverflowError) as error:
        raise MaskError('has a polygon with something else than numbers in it') from error
    if not finite:
        raise MaskError('has a polygon with a coordinate that is not finite')
    if len(polygon) % 2:
        raise MaskError(f'has a polygon of {len(polygon)} coordinates, and there are two for each point')
    if len(polygon) < MIN_NUMBERS:
        return False
    for values, side in ((polygon[0::2], width), (polygon[1::2], height)):
        for value in (min(values), max(values)):
            if not -side <= value <= 2 * side:
                raise MaskError(f'has a polygon with a coordinate of {value:.6g} in an image of {width}x{height} '
                                'pixels')
    if len(polygon) * max(height, width) > _MAX_PERIMETER and (length := _perimeter(polygon)) > _MAX_PERIMETER:
        raise MaskError(f'has a polygon whose sides are {length:.3g} pixels long together, which is no outline')
    return True


def _perimeter(polygon: Sequence[float]) -> float:
    points = np.array(polygon, float).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, 1, 0)).max(1).sum())


def _clean_rle(mask: Mapping[str, Any], height: int, width: int) -> dict[str, Any] | None:
    if 'size' not in mask or 'counts' not in mask:
        raise MaskError(f'has an RLE without {"size" if "size" not in mask else "counts"}')
    size, counts = mask['size'], mask['counts']
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise MaskError(f'has a mask of size {size}, but the image has height {height} and width {width}')
    counts = counts.decode('ascii', 'replace') if isinstance(counts, bytes) else counts
    lengths = decoded_counts(counts) if isinstance(counts, str) else counts
    if isinstance(lengths, list) and all(type(length) is int for length in lengths):
        lengths = np.array(lengths, object)
    if not isinstance(lengths, np.ndarray):
        raise MaskError('has an RLE whose counts are neither whole numbers nor a compressed text')
    if (lengths < 0).any() or (total := int(lengths.sum())) != height * width:
        found = 'a negative one' if (lengths < 0).any() else f'a sum of {total}'
        raise MaskError(f'has an RLE whose counts have {found}, and the image has {height}x{width} = '
                        f'{height * width} pixels')
    return dict(size=[height, width], counts=counts) if lengths[1::2].any() else None


def decoded_counts(text: str) -> np.ndarray:
    """Decode the lengths of the runs (n,) int64 of a compressed RLE.

    A number is written in digits of five bits, the lowest first, a sixth says that another follows; from the fourth
    number on it is the difference from the last but one (``maskApi.c`` of the COCO API, ``rleFrString``).

    Raises:
        MaskError: The text is no compressed RLE.
    """
    digits = np.frombuffer(text.encode('utf-32-le'), np.uint32).astype(np.int64) - 48
    if not len(digits) or (digits < 0).any() or (digits > 63).any() or digits[-1] & 32:
        raise MaskError('has an RLE whose text is no compressed RLE, or not the whole of one')
    ends = np.flatnonzero(~digits & 32)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_DIGITS:
        raise MaskError('has an RLE whose text is no compressed RLE: a number of it is too long')
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((digits & 31) << 5 * place, starts)
    values -= np.where(digits[ends] & 16, 1 << 5 * lengths, 0)  # the highest bit is the sign
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def compressed(mask: Any, image: Mapping[str, Any]) -> dict[str, Any]:
    """Turn polygons or RLE into the compressed RLE of pycocotools.

    Args:
        mask: See :func:`clean_mask`.
        image: An entry with the ``height`` and ``width`` of the image.

    Raises:
        MaskError: The mask is not one of its image (:func:`clean_mask`), or nothing is left of it.
    """
    height, width = image['height'], image['width']
    mask = clean_mask(mask, height, width)
    if mask is None:
        raise MaskError('has a mask without a pixel')
    return _encoded(mask, height, width)


def _encoded(mask: Any, height: int, width: int) -> dict[str, Any]:
    if isinstance(mask, dict) and isinstance(mask['counts'], str):
        return mask
    encoded = rle_tools.frPyObjects(mask, height, width)
    return rle_tools.merge(encoded) if isinstance(encoded, list) else encoded


def mask_box(mask: Any, image: Mapping[str, Any]) -> list[float]:
    """The box [x, y, width, height] around the part of a clean mask that is in the image."""
    if isinstance(mask, dict):
        return rle_tools.toBbox(_encoded(mask, image['height'], image['width'])).tolist()
    xs, ys = ([value for polygon in mask for value in polygon[axis::2]] for axis in (0, 1))
    return inside([min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)], image)


def inside(box: Sequence[float], image: Mapping[str, Any]) -> list[float]:
    """The part of a box [x, y, width, height] that is in an image with ``height`` and ``width``."""
    starts, ends = ([min(max(value, 0), side) for value, side in zip(corner, (image['width'], image['height']),
                                                                    strict=True)]
                    for corner in (box[:2], (box[0] + box[2], box[1] + box[3])))
    return [*starts, *(end - start for start, end in zip(starts, ends, strict=True))]


def is_box(box: Any, empty: bool = False) -> bool:
    """Whether this is [x, y, width, height] in finite numbers.

    Args:
        box: What stands in the place of a box.
        empty: Whether a box may be without an area.
    """
    return (isinstance(box, list | tuple) and len(box) == 4
            and all(isinstance(value, int | float) and abs(value) < 1e9 for value in box)
            and (empty or (box[2] > 0 and box[3] > 0)))


def near(box: Sequence[float], other: Sequence[float]) -> bool:
    """Whether no side of two boxes [x, y, width, height] differs by more than two pixels and a tenth of its length."""
    return all(abs(own - their) <= 2 + .1 * max(length, other_length)
               for axis, (length, other_length) in enumerate(zip(box[2:], other[2:], strict=True))
               for own, their in ((box[axis], other[axis]), (box[axis] + length, other[axis] + other_length)))
