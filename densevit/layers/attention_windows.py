"""Attention within the windows of a token grid: how tokens are put into windows, masked and put back.

Not to be confused with :mod:`densevit.layers.tiles`, which lays overlapping windows over the pixels of an image.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .symbolic import crop, is_symbolic

_PAD = 4  # the region of pads; those of a shifted window are 0 to 3


@dataclass(frozen=True)
class AttentionWindows:
    """Non-overlapping windows over a token grid, padded at the right and bottom to whole windows.

    They are squares of one size, or divide the grid into a number of rectangles along each axis. Every window sees a
    copy of the prefix tokens (class, registers, queries), which :meth:`merge` averages, or has tokens of its own.

    Attributes:
        grid: (h, w) in tokens.
        size: Side of a window in tokens; None where ``num_windows`` says it.
        num_prefix: Tokens ahead of the patches.
        shifted: Whether windows are moved by half their size, cyclically, and tokens that were not neighbours before
            do not see each other (Swin, arXiv 2103.14030, section 3.2). An axis of one window is not moved.
        mask_pads: Whether nobody attends to pads.
        num_windows: Along each axis, whatever the grid (LW-DETR, arXiv 2406.03459); None for windows of ``size``.
        num_own: How many of the prefix tokens, the last ones, belong to single windows, as many to each.
    """
    grid: tuple[int, int]
    size: int | None
    num_prefix: int = 0
    shifted: bool = False
    mask_pads: bool = True
    num_windows: int | None = None
    num_own: int = 0

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a window in tokens."""
        return window_sides(self.grid, self.size, self.num_windows)

    @property
    def counts(self) -> tuple[int, int]:
        """Windows along each axis; of ``num_windows``, the last may be pads alone."""
        if self.num_windows is not None:
            return self.num_windows, self.num_windows
        h, w = self.grid
        return (h + self.size - 1) // self.size, (w + self.size - 1) // self.size

    @property
    def _num_shared(self) -> int:
        """Prefix tokens that every window has a copy of."""
        return self.num_prefix - self.num_own

    @property
    def _prefix_of_window(self) -> int:
        rows, columns = self.counts
        return self._num_shared + self.num_own // (rows * columns)

    def partition(self, x: Tensor) -> Tensor:
        """Cut a sequence (B, num_prefix + h * w, C) into windows (B * windows, N, C) with their prefix tokens."""
        shared, patches = x[:, :self._num_shared], x[:, self.num_prefix:]
        patches = self.partition_map(patches.unflatten(1, self.grid)).flatten(1, 2)
        if not self.num_prefix:
            return patches
        rows, columns = self.counts
        parts = [shared.unsqueeze(1).expand(-1, rows * columns, -1, -1).flatten(0, 1), patches]
        if self.num_own:
            own = x[:, self._num_shared:self.num_prefix]
            parts.insert(1, own.unflatten(1, (rows * columns, -1)).flatten(0, 1))
        return torch.cat(parts, dim=1)

    def merge(self, windows: Tensor) -> Tensor:
        """Join what :meth:`partition` gives to (B, num_prefix + h * w, C)."""
        prefix = self._prefix_of_window
        patches = self.merge_map(windows[:, prefix:].unflatten(1, self.sides)).flatten(1, 2)
        if not self.num_prefix:
            return patches
        rows, columns = self.counts
        of_windows = windows[:, :prefix].unflatten(0, (-1, rows * columns))
        shared = of_windows[:, :, :self._num_shared].mean(1)
        own = [of_windows[:, :, self._num_shared:].flatten(1, 2)] if self.num_own else []
        return torch.cat((shared, *own, patches), dim=1)

    def partition_map(self, x: Tensor) -> Tensor:
        """Cut a map (B, h, w, C) into (B * windows, *sides, C); pads are zeros."""
        (h, w), (rows, columns), (height, width) = self.grid, self.counts, self.sides
        if self._is_padded:
            x = F.pad(x, (0, 0, 0, columns * width - w, 0, rows * height - h))
        if self._is_moved:
            x = x.roll([-offset for offset in self._offsets], dims=(1, 2))
        return x.unflatten(2, (columns, width)).unflatten(1, (rows, height)).transpose(2, 3).flatten(0, 2)

    def merge_map(self, windows: Tensor) -> Tensor:
        """Join (B * windows, *sides, C) to a map (B, h, w, C)."""
        (h, w), counts = self.grid, self.counts
        x = windows.unflatten(0, (-1, *counts)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self._is_moved:
            x = x.roll(self._offsets, dims=(1, 2))
        return crop(x.movedim(3, 1), (h, w)).movedim(1, 3) if self._is_padded else x

    def mask(self, batch: int, device: torch.device) -> Tensor | None:
        """Who may attend to whom: (batch * windows, 1, N, N), True where allowed, for the N tokens of a window.

        None where everybody sees everybody, which the fast kernels of attention need.
        """
        if not self._is_moved and not (self._is_padded and self.mask_pads):
            return None
        regions = self._regions(device)
        allowed = regions.unsqueeze(2) == regions.unsqueeze(1)  # (windows, patches of a window, the same)
        if prefix := self._prefix_of_window:
            visible = (regions != _PAD).unsqueeze(1).expand(-1, prefix, -1)
            allowed = torch.cat((visible, allowed), dim=1)
            allowed = torch.cat((allowed.new_ones(*allowed.shape[:2], prefix), allowed), dim=2)
        return allowed.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)

    @property
    def _is_padded(self) -> bool:
        if is_symbolic(*self.grid):
            return True
        return tuple(self.grid) != tuple(count * side for count, side in zip(self.counts, self.sides, strict=True))

    @property
    def _is_moved(self) -> bool:
        return self.shifted if is_symbolic(*self.grid) else any(self._offsets)

    @property
    def _offsets(self) -> tuple[int, int]:
        halves = [side // 2 if self.shifted else 0 for side in self.sides]
        rows, columns = (half * torch.sym_min(count - 1, 1)  # an axis of one window stays
                         for half, count in zip(halves, self.counts, strict=True))
        return rows, columns

    def _regions(self, device: torch.device) -> Tensor:
        """(windows, size * size): tokens of a window that belong together have the same number."""
        axes = []
        for length, count, side, offset in zip(self.grid, self.counts, self.sides, self._offsets, strict=True):
            full = count * side
            place = torch.arange(full, device=device)
            wrapped = place >= full - offset
            is_real = (place + offset) % full < length
            axes.append((wrapped, is_real))
        (low, real_rows), (right, real_columns) = axes
        regions = 2 * low.long().unsqueeze(1) + right.long()
        if self.mask_pads:
            regions = torch.where(real_rows.unsqueeze(1) & real_columns, regions, _PAD)
        (rows, columns), (height, width) = self.counts, self.sides
        return regions.unflatten(1, (columns, width)).unflatten(0, (rows, height)).transpose(1, 2).flatten(
            0, 1).flatten(1)


def window_sides(grid: tuple[int, int], size: int | None, num_windows: int | None) -> tuple[int, int]:
    """Tell height and width in tokens of windows of a size, or of those that divide a grid."""
    if num_windows is None:
        return size, size
    h, w = grid
    return (h + num_windows - 1) // num_windows, (w + num_windows - 1) // num_windows
