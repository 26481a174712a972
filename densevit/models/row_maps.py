"""Maps over an image (class scores, mask logits, depth), made for some rows at a time.

Maps at the size of a photograph are by far the largest thing in memory: 150 classes of 4000x6000 pixels are 14 GB.
What follows from them (labels, instances, panoptic maps) looks at pixels one by one. So what the network gave stays at
its own resolution, and rows are made when they are asked for, read and forgotten::

    network's maps (C, h, w)  ->  StoredMaps, or of each window, averaged: WindowedMaps     rows of the padded image
        .resized                  what the image shows of it, at the original size          rows of the original image
        .bands(max_bytes)         a few rows at a time, for whoever reads them              (C, rows, W)
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..layers import resize_rows, window_origins
from ..layers.resize import RowTaps, blend_rows, row_taps

FLOAT_BYTES = 4


class RowMaps:
    """C maps over an image, read some rows at a time.

    Attributes:
        channels: The number of maps, C.
        size: Height and width of the image, (H, W).
        row_bytes: About how many bytes one row takes while it is made and read.
    """

    def __init__(self, channels: int, size: Sequence[int], row_bytes: int = 0) -> None:
        self.channels, self.size, self.row_bytes = channels, (int(size[0]), int(size[1])), row_bytes

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``, (C, stop - start, W), float32.

        Successive calls should go down or up the image.
        """
        raise NotImplementedError

    def resized(self, content: Sequence[int], size: Sequence[int]) -> RowMaps:
        """The ``content`` (h, w) at the top left, resized bilinearly to ``size``."""
        return ResizedMaps(self, content, size)

    def bands(self, max_bytes: int) -> Iterator[tuple[slice, Tensor]]:
        """All rows from the top, as many at a time as ``max_bytes`` allow, but at least one."""
        height, step = self.size[0], max(1, max_bytes // max(1, self.row_bytes))
        for start in range(0, height, step):
            rows = slice(start, min(start + step, height))
            yield rows, self.rows(rows.start, rows.stop)


class StoredMaps(RowMaps):
    """Maps (C, h, w) at the network's resolution, resized bilinearly.

    Args:
        maps: They cover the padded image, (C, h, w).
        padded: Height and width of the padded image.
        size: Height and width of the part at its top left that is read.
    """

    def __init__(self, maps: Tensor, padded: Sequence[int], size: Sequence[int]) -> None:
        # Resized, cut or blended rows, and one copy for whoever reads them.
        super().__init__(len(maps), size, FLOAT_BYTES * len(maps) * (2 * padded[1] + 2 * maps.shape[-1]))
        self._maps, self._padded = maps, (int(padded[0]), int(padded[1]))

    def rows(self, start: int, stop: int) -> Tensor:
        return resize_rows(self._maps, self._padded, start, stop)[..., :self.size[1]]


class WindowLayout(NamedTuple):
    """Where windows over an image lie, and how many the network sees at once.

    Attributes:
        crop_size: Height and width of a window; a side longer than the image is cut to it.
        stride: Vertical and horizontal distance of windows. Without one, the fewest that cover the image are spread
            evenly, see :func:`densevit.layers.window_origins`.
        batch: How many windows the network sees at once.
    """
    crop_size: tuple[int, int]
    stride: tuple[int, int] | None = None
    batch: int = 1


class WindowedMaps(RowMaps):
    """Maps of windows, averaged where they overlap.

    Windows are predicted when a row of theirs is asked for, and forgotten when the next rows touch them no more.

    Args:
        image: The image, (3, H, W).
        layout: Where the windows lie.
        predict: Makes of windows (n, 3, h, w) n maps, each over (h, w) pixels.
    """

    def __init__(self, image: Tensor, layout: WindowLayout, predict: Callable[[Tensor], list[RowMaps]]) -> None:
        super().__init__(0, image.shape[-2:])
        self._image, self._predict, self._batch = image, predict, layout.batch
        self._window = h, w = tuple(map(min, layout.crop_size, self.size))
        stride = layout.stride or (None, None)
        self._tops = window_origins(self.size[0], h, stride[0])
        self._lefts = window_origins(self.size[1], w, stride[1])
        self._maps: dict[int, list[RowMaps]] = {}
        self._touch(0, 1)
        of_windows = [maps for row in self._maps.values() for maps in row]
        self.channels = of_windows[0].channels
        self.row_bytes = max(maps.row_bytes for maps in of_windows) + 2 * FLOAT_BYTES * self.channels * self.size[1]

    def rows(self, start: int, stop: int) -> Tensor:
        self._touch(start, stop)
        width, (h, w) = self.size[1], self._window
        if len(self._tops) == len(self._lefts) == 1:
            return self._maps[0][0].rows(start, stop)
        total = self._image.new_zeros(self.channels, stop - start, width, dtype=torch.float32)
        down, across = total.new_zeros(stop - start, 1), total.new_zeros(width)
        for top, maps in self._maps.items():
            first, last = max(start, top), min(stop, top + h)
            down[first - start:last - start] += 1
            for left, window in zip(self._lefts, maps, strict=True):
                total[:, first - start:last - start, left:left + w] += window.rows(first - top, last - top)
        for left in self._lefts:
            across[left:left + w] += 1
        return total.div_(down * across)

    def _touch(self, start: int, stop: int) -> None:
        """Keep and predict the windows that have one of the rows."""
        tops = [top for top in self._tops if top < stop and top + self._window[0] > start]
        for top in self._maps.keys() - set(tops):
            del self._maps[top]
        for top in tops:
            if top not in self._maps:
                self._maps[top] = self._run(top)
        self._maps = {top: self._maps[top] for top in tops}

    def _run(self, top: int) -> list[RowMaps]:
        h, w = self._window
        maps = []
        for first in range(0, len(self._lefts), self._batch):
            lefts = self._lefts[first:first + self._batch]
            maps += self._predict(torch.stack([self._image[:, top:top + h, left:left + w] for left in lefts]))
        return maps


class ResizedMaps(RowMaps):
    """The ``content`` (h, w) at the top left of maps, resized bilinearly to ``size``, see :meth:`RowMaps.resized`."""

    def __init__(self, maps: RowMaps, content: Sequence[int], size: Sequence[int]) -> None:
        row = FLOAT_BYTES * maps.channels * (2 * int(size[1]) + 3 * maps.size[1])
        super().__init__(maps.channels, size, row + maps.row_bytes * int(content[0]) // int(size[0]))
        self._maps, self._content = maps, (int(content[0]), int(content[1]))
        self._kept: tuple[int, Tensor] | None = None  # the source rows of the latest call, from which row on

    def rows(self, start: int, stop: int) -> Tensor:
        height, width = self._content
        taps = row_taps(height, self.size[0], start, stop)
        return blend_rows(self._source(taps)[..., :width], taps, self.size[1])

    def _source(self, taps: RowTaps) -> Tensor:
        """Rows of the source. The last ones of a band are the first of the next one: costly to make, they are kept."""
        if taps.weight is None:
            return self._maps.rows(taps.first, taps.last)
        first, rows = self._kept or (0, None)
        stop = first if rows is None else first + rows.shape[1]
        if rows is None or not first <= taps.first <= stop <= taps.last:
            rows = self._maps.rows(taps.first, taps.last)
        elif stop == taps.last:
            rows = rows[:, taps.first - first:]
        else:
            rows = torch.cat((rows[:, taps.first - first:], self._maps.rows(stop, taps.last)), 1)
        self._kept = taps.first, rows
        return rows


class MirroredMaps(RowMaps):
    """Maps mirrored along axes, -1 for left and right, -2 for top and bottom."""

    def __init__(self, maps: RowMaps, axes: Sequence[int]) -> None:
        super().__init__(maps.channels, maps.size, maps.row_bytes + FLOAT_BYTES * maps.channels * maps.size[1])
        self._maps, self._axes = maps, tuple(axes)

    def rows(self, start: int, stop: int) -> Tensor:
        if -2 in self._axes:
            start, stop = self.size[0] - stop, self.size[0] - start
        return self._maps.rows(start, stop).flip(self._axes)


class MeanMaps(RowMaps):
    """The mean of maps of one size."""

    def __init__(self, maps: Sequence[RowMaps]) -> None:
        first = maps[0]
        row = max(each.row_bytes for each in maps) + FLOAT_BYTES * first.channels * first.size[1]
        super().__init__(first.channels, first.size, row)
        self._maps = maps

    def rows(self, start: int, stop: int) -> Tensor:
        total = self._maps[0].rows(start, stop)
        for maps in self._maps[1:]:
            total = total + maps.rows(start, stop)
        return total / len(self._maps)


def shown_size(sample: BaseDataElement, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of the part of a padded image of ``size`` that shows something."""
    return tuple(sample.get('img_shape', size)[:2])


def to_original_size(maps: RowMaps, sample: BaseDataElement) -> RowMaps:
    """Maps over a padded image of a batch as maps over the image as it was before it was resized."""
    shown = shown_size(sample, maps.size)
    original = tuple(sample.get('ori_shape', shown)[:2])
    return maps if shown == original == maps.size else maps.resized(shown, original)


def map_over_image(
    maps: Tensor,
    padded: Sequence[int],
    size: Sequence[int],
    sample: BaseDataElement,
    max_bytes: int = 2**25,
) -> Tensor:
    """One map (h, w) over a padded image of a batch as one over the original image, (1, H, W) float32.

    Args:
        maps: What the network gave, at its resolution.
        padded: Height and width of the image as the network saw it.
        size: Those of the images of the batch.
        sample: Its ``img_shape`` and ``ori_shape``.
        max_bytes: About what the rows that are made at a time may take.
    """
    whole = to_original_size(StoredMaps(maps[None], padded, size), sample)
    result = torch.empty(1, *whole.size, device=maps.device)
    for rows, band in whole.bands(max_bytes):
        result[:, rows] = band
    return result


def maps_of_images(
    images: Tensor,
    samples: Sequence[BaseDataElement] | None,
    predict: Callable[[Tensor], list[RowMaps]],
    layout: WindowLayout | None,
) -> Iterator[RowMaps]:
    """Maps over each image of a batch, predicted as a whole or in windows.

    Args:
        images: Normalised images, (B, 3, H, W).
        samples: They tell what the images show and their original sizes, over which the maps then lie; without them,
            the maps lie over the given images.
        predict: Makes of images (n, 3, h, w) n maps, each over (h, w) pixels. Windows are predicted while the maps are
            read.
        layout: Where windows lie; None for whole images.
    """
    whole = predict(images) if layout is None else None
    for index, image in enumerate(images):
        if whole is not None:
            maps = whole[index]
        else:  # of what the image shows: windows do not depend on what a batch was padded to
            height, width = image.shape[-2:] if samples is None else shown_size(samples[index], image.shape[-2:])
            maps = WindowedMaps(image[:, :height, :width], layout, predict)
        yield maps if samples is None else to_original_size(maps, samples[index])
