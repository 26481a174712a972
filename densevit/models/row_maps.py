"""Scores of an image, made for some rows at a time from what the network gave at its own resolution.

Scores at the size of a photograph are by far the largest thing in memory: 150 classes of 4000x6000 pixels are 14 GB.
All readings (labels, instances, panoptic maps) look at pixels one by one, so rows are made, read and forgotten.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..layers import resize_rows, window_origins
from ..layers.resize import RowTaps, blend_rows, row_taps
from ..networks.segmentation import semantic_scores
from ..networks.segmentation.base import MaskNetwork

_FLOAT = 4  # bytes


class ScoreMap:
    """C maps over an image.

    Attributes:
        channels: C.
        size: Height and width, (H, W).
        row_bytes: About what one row takes while it is made and read.
    """

    def __init__(self, channels: int, size: Sequence[int], row_bytes: int = 0) -> None:
        self.channels, self.size, self.row_bytes = channels, (int(size[0]), int(size[1])), row_bytes

    def rows(self, start: int, stop: int) -> Tensor:
        """(C, stop - start, W), float32. Successive calls should go down or up the image."""
        raise NotImplementedError

    def resized(self, content: Sequence[int], size: Sequence[int]) -> ScoreMap:
        """The ``content`` (h, w) at the top left, resized to ``size``, bilinear."""
        return ResizedScores(self, content, size)

    def bands(self, max_bytes: int) -> Iterator[tuple[slice, Tensor]]:
        """All rows from the top, as many at a time as ``max_bytes`` allow, but at least one."""
        height, step = self.size[0], max(1, max_bytes // max(1, self.row_bytes))
        for start in range(0, height, step):
            rows = slice(start, min(start + step, height))
            yield rows, self.rows(rows.start, rows.stop)


class StoredMaps(ScoreMap):
    """Maps (C, h, w) over a padded image of ``padded`` pixels, of which ``size`` are looked at."""

    def __init__(self, maps: Tensor, padded: Sequence[int], size: Sequence[int]) -> None:
        # Resized, cut or blended rows, and one copy for whoever reads them.
        super().__init__(len(maps), size, _FLOAT * len(maps) * (2 * padded[1] + 2 * maps.shape[-1]))
        self._maps, self._padded = maps, (int(padded[0]), int(padded[1]))

    def rows(self, start: int, stop: int) -> Tensor:
        return resize_rows(self._maps, self._padded, start, stop)[..., :self.size[1]]


class MaskLogits(ScoreMap):
    """Logits of mask proposals, whose sigmoid is the probability.

    Masks that compete for pixels do so at the size at which they are read.

    Args:
        masks: Of all proposals, as the network means them.
        queries: The proposals to give, (n,); all without.
    """

    def __init__(self, network: MaskNetwork, masks: ScoreMap, queries: Tensor | None = None) -> None:
        super().__init__(masks.channels if queries is None else len(queries), masks.size, masks.row_bytes)
        self._network, self._masks, self._queries = network, masks, queries

    @classmethod
    def stored(cls, network: MaskNetwork, masks: Tensor, padded: Sequence[int], size: Sequence[int],
               queries: Tensor | None = None) -> MaskLogits:
        """Of masks (Q, h, w) over a padded image, see :class:`StoredMaps`."""
        if queries is not None and not network.masks_compete:
            masks, queries = masks[queries], None
        return cls(network, StoredMaps(masks, padded, size), queries)

    def rows(self, start: int, stop: int) -> Tensor:
        logits = self._network.sigmoid_logits(self._masks.rows(start, stop)[None])[0]
        return logits if self._queries is None else logits[self._queries]

    def resized(self, content: Sequence[int], size: Sequence[int]) -> MaskLogits:
        return MaskLogits(self._network, self._masks.resized(content, size), self._queries)


class MaskScores(ScoreMap):
    """Class scores of mask logits (Q, H, W) and class logits (Q, C + 1)."""

    def __init__(self, logits: ScoreMap, classes: Tensor) -> None:
        channels = classes.shape[-1] - 1
        super().__init__(channels, logits.size, logits.row_bytes + 2 * _FLOAT * channels * logits.size[1])
        self._logits, self._classes = logits, classes

    def rows(self, start: int, stop: int) -> Tensor:
        return semantic_scores(self._logits.rows(start, stop), self._classes)


class WindowLayout(NamedTuple):
    """Windows over images.

    Attributes:
        crop_size: Height and width of a window; a side longer than the image is cut to it.
        stride: Evenly spread windows without one, see :func:`densevit.layers.window_origins`.
        batch: Windows that the network sees at once.
    """
    crop_size: tuple[int, int]
    stride: tuple[int, int] | None = None
    batch: int = 1


class WindowScores(ScoreMap):
    """Scores of windows, averaged where they overlap.

    Windows are predicted when a row of theirs is asked for, and forgotten when the next rows touch them no more.

    Args:
        image: (3, H, W).
        predict: (n, 3, h, w) windows to n maps of (h, w) pixels.
    """

    def __init__(self, image: Tensor, channels: int, layout: WindowLayout,
                 predict: Callable[[Tensor], list[ScoreMap]]) -> None:
        super().__init__(channels, image.shape[-2:])
        self._image, self._predict, self._batch = image, predict, layout.batch
        self._window = h, w = tuple(map(min, layout.crop_size, self.size))
        stride = layout.stride or (None, None)
        self._tops = window_origins(self.size[0], h, stride[0])
        self._lefts = window_origins(self.size[1], w, stride[1])
        self._maps: dict[int, list[ScoreMap]] = {}
        self._touch(0, 1)
        of_windows = max(map.row_bytes for maps in self._maps.values() for map in maps)
        self.row_bytes = of_windows + 2 * _FLOAT * channels * self.size[1]

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

    def _run(self, top: int) -> list[ScoreMap]:
        h, w = self._window
        maps = []
        for first in range(0, len(self._lefts), self._batch):
            lefts = self._lefts[first:first + self._batch]
            maps += self._predict(torch.stack([self._image[:, top:top + h, left:left + w] for left in lefts]))
        return maps


class ResizedScores(ScoreMap):
    """See :meth:`ScoreMap.resized`."""

    def __init__(self, maps: ScoreMap, content: Sequence[int], size: Sequence[int]) -> None:
        row = _FLOAT * maps.channels * (2 * int(size[1]) + 3 * maps.size[1])
        super().__init__(maps.channels, size, row + maps.row_bytes * int(content[0]) // int(size[0]))
        self._maps, self._content = maps, (int(content[0]), int(content[1]))
        self._kept: tuple[int, Tensor] | None = None  # the source rows of the latest call, from which row on

    def rows(self, start: int, stop: int) -> Tensor:
        height, width = self._content
        taps = row_taps(height, self.size[0], start, stop)
        return blend_rows(self._source(taps)[..., :width], taps, self.size[1])

    def _source(self, taps: RowTaps) -> Tensor:
        """Rows of the source; the last of a band are the first of the next one, and dear to make."""
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


class MirroredScores(ScoreMap):
    """Maps mirrored along axes, -1 for left and right, -2 for top and bottom."""

    def __init__(self, maps: ScoreMap, axes: Sequence[int]) -> None:
        super().__init__(maps.channels, maps.size, maps.row_bytes + _FLOAT * maps.channels * maps.size[1])
        self._maps, self._axes = maps, tuple(axes)

    def rows(self, start: int, stop: int) -> Tensor:
        if -2 in self._axes:
            start, stop = self.size[0] - stop, self.size[0] - start
        return self._maps.rows(start, stop).flip(self._axes)


class MeanScores(ScoreMap):
    """The mean of maps of one size."""

    def __init__(self, maps: Sequence[ScoreMap]) -> None:
        first = maps[0]
        row = max(each.row_bytes for each in maps) + _FLOAT * first.channels * first.size[1]
        super().__init__(first.channels, first.size, row)
        self._maps = maps

    def rows(self, start: int, stop: int) -> Tensor:
        total = self._maps[0].rows(start, stop)
        for maps in self._maps[1:]:
            total = total + maps.rows(start, stop)
        return total / len(self._maps)
