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
    """Non-overlapping square windows over a token grid, padded at the right and bottom to whole windows.

    Every window sees a copy of the prefix tokens (class, registers, queries); :meth:`merge` averages the copies.

    Attributes:
        grid: (h, w) in tokens.
        size: Side of a window in tokens.
        num_prefix: Tokens ahead of the patches.
        shifted: Whether windows are moved by half their size, cyclically, and tokens that were not neighbours before
            do not see each other (Swin, arXiv:2103.14030, section 3.2). An axis of one window is not moved.
        mask_pads: Whether nobody attends to pads.
    """
    grid: tuple[int, int]
    size: int
    num_prefix: int = 0
    shifted: bool = False
    mask_pads: bool = True

    @property
    def counts(self) -> tuple[int, int]:
        """Windows along each axis."""
        h, w = self.grid
        return (h + self.size - 1) // self.size, (w + self.size - 1) // self.size

    def partition(self, x: Tensor) -> Tensor:
        """Cut a sequence (B, num_prefix + h * w, C) into (B * windows, num_prefix + size * size, C)."""
        prefix, patches = x[:, :self.num_prefix], x[:, self.num_prefix:]
        patches = self.partition_map(patches.unflatten(1, self.grid)).flatten(1, 2)
        if not self.num_prefix:
            return patches
        rows, columns = self.counts
        copies = prefix.unsqueeze(1).expand(-1, rows * columns, -1, -1).flatten(0, 1)
        return torch.cat((copies, patches), dim=1)

    def merge(self, windows: Tensor) -> Tensor:
        """Join (B * windows, num_prefix + size * size, C) to (B, num_prefix + h * w, C)."""
        patches = self.merge_map(windows[:, self.num_prefix:].unflatten(1, (self.size, self.size))).flatten(1, 2)
        if not self.num_prefix:
            return patches
        rows, columns = self.counts
        prefix = windows[:, :self.num_prefix].unflatten(0, (-1, rows * columns)).mean(1)
        return torch.cat((prefix, patches), dim=1)

    def partition_map(self, x: Tensor) -> Tensor:
        """Cut a map (B, h, w, C) into (B * windows, size, size, C); pads are zeros."""
        (h, w), (rows, columns), size = self.grid, self.counts, self.size
        if self._is_padded:
            x = F.pad(x, (0, 0, 0, columns * size - w, 0, rows * size - h))
        if self._is_moved:
            x = x.roll([-offset for offset in self._offsets], dims=(1, 2))
        return x.unflatten(2, (columns, size)).unflatten(1, (rows, size)).transpose(2, 3).flatten(0, 2)

    def merge_map(self, windows: Tensor) -> Tensor:
        """Join (B * windows, size, size, C) to a map (B, h, w, C)."""
        (h, w), counts = self.grid, self.counts
        x = windows.unflatten(0, (-1, *counts)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self._is_moved:
            x = x.roll(self._offsets, dims=(1, 2))
        return crop(x.movedim(3, 1), (h, w)).movedim(1, 3) if self._is_padded else x

    def mask(self, batch: int, device: torch.device) -> Tensor | None:
        """Who may attend to whom: (batch * windows, 1, N, N), True where allowed, N = num_prefix + size * size.

        None where everybody sees everybody, which the fast kernels of attention need.
        """
        if not self._is_moved and not (self._is_padded and self.mask_pads):
            return None
        regions = self._regions(device)
        allowed = regions.unsqueeze(2) == regions.unsqueeze(1)  # (windows, size * size, size * size)
        if self.num_prefix:
            visible = (regions != _PAD).unsqueeze(1).expand(-1, self.num_prefix, -1)
            allowed = torch.cat((visible, allowed), dim=1)
            allowed = torch.cat((allowed.new_ones(*allowed.shape[:2], self.num_prefix), allowed), dim=2)
        return allowed.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)

    @property
    def _is_padded(self) -> bool:
        return is_symbolic(*self.grid) or self.grid[0] % self.size != 0 or self.grid[1] % self.size != 0

    @property
    def _is_moved(self) -> bool:
        return self.shifted if is_symbolic(*self.grid) else any(self._offsets)

    @property
    def _offsets(self) -> tuple[int, int]:
        half = self.size // 2 if self.shifted else 0
        rows, columns = (half * torch.sym_min(count - 1, 1) for count in self.counts)  # an axis of one window stays
        return rows, columns

    def _regions(self, device: torch.device) -> Tensor:
        """(windows, size * size): tokens of a window that belong together have the same number."""
        axes = []
        for length, count, offset in zip(self.grid, self.counts, self._offsets, strict=True):
            full = count * self.size
            place = torch.arange(full, device=device)
            wrapped = place >= full - offset
            is_real = (place + offset) % full < length
            axes.append((wrapped, is_real))
        (low, real_rows), (right, real_columns) = axes
        regions = 2 * low.long().unsqueeze(1) + right.long()
        if self.mask_pads:
            regions = torch.where(real_rows.unsqueeze(1) & real_columns, regions, _PAD)
        rows, columns = self.counts
        return regions.unflatten(1, (columns, self.size)).unflatten(0, (rows, self.size)).transpose(1, 2).flatten(
            0, 1).flatten(1)
