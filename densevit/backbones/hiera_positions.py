"""The position embeddings of Hiera and HieraDet: how they are stored, and what they are at a grid."""
from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch.nn.functional as F
from torch import Tensor

from ..layers import absolute_window_pos_embed, resize_pos_map, tile_pos_embed
from .options import Grid, PosEmbed


@dataclass(frozen=True)
class PositionForm:
    """A position embedding (1, C, h, w), with an embedding of a window (1, C, wh, ww) beside it or without one.

    Attributes:
        kind: ``'interpolate'`` stretches over the image what is stored; ``'absolute_window'`` (arXiv:2311.05613)
            stretches the embedding and repeats the window's; ``'tile'`` puts the positions of a pre-training image
            beside each other, so that every window has the positions that it had in pre-training.
        grid: (h, w) in tokens of a pre-training image: what is tiled.
        stored: (h, w) of the embedding.
        window: (wh, ww) of the window's embedding; None for an embedding without one.
        antialias: Whether bicubic resizing smooths as well: timm's Hiera does so, SAM 2 does not.

    Raises:
        ValueError: There is no such kind.
    """
    kind: PosEmbed
    grid: Grid
    stored: Grid
    window: Grid | None
    antialias: bool

    def __post_init__(self) -> None:
        if self.kind not in get_args(PosEmbed):
            raise ValueError(f"pos_embed is one of {', '.join(map(repr, get_args(PosEmbed)))}, not '{self.kind}'")

    def at(self, grid: Grid, embed: Tensor, window: Tensor | None) -> Tensor:
        """Positions (1, C, h, w) of an image of (h, w) tokens."""
        if self.kind == 'tile':
            return tile_pos_embed(self._stretched(self.grid, embed, window), grid)
        return self._stretched(grid, embed, window)

    def fit(self, embed: Tensor, window: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Embeddings that are stored in whatever form and size, in this form and size.

        Raises:
            ValueError: A plain embedding does not hold whole windows and cannot be split.
        """
        if self.window is None:
            if window is not None:
                embed = absolute_window_pos_embed(window, embed, self.stored, self.antialias)
            return resize_pos_map(embed, self.stored, self.antialias), None
        if window is None:
            return split_pos_embed(embed, self.window, self.stored)
        return (resize_pos_map(embed, self.stored, self.antialias),
                resize_pos_map(window, self.window, self.antialias))

    def _stretched(self, grid: Grid, embed: Tensor, window: Tensor | None) -> Tensor:
        if window is None:
            return resize_pos_map(embed, grid, self.antialias)
        return absolute_window_pos_embed(window, embed, grid, self.antialias)


def split_pos_embed(pos_embed: Tensor, window: Grid, stored: Grid) -> tuple[Tensor, Tensor]:
    """A learned embedding as a global and a window part, whose sum is near it.

    arXiv:2311.05613 shows that the embedding of a network pre-trained with windows holds one window over and over
    again: the mean of all windows without the overall mean is the window part; the global part is the average of the
    rest over each of its cells.

    Args:
        pos_embed: (1, C, h, w).
        window: (wh, ww) in tokens, which divides (h, w).
        stored: (gh, gw) of the global part.

    Returns:
        (1, C, gh, gw) and (1, C, wh, ww).

    Raises:
        ValueError: The embedding does not hold whole windows.
    """
    (h, w), (wh, ww) = pos_embed.shape[-2:], window
    if h % wh or w % ww:
        raise ValueError(f'a position embedding of {h}x{w} holds no whole windows of {wh}x{ww} and cannot be split '
                         "into a global and a window part; use pos_embed='interpolate'")
    centred = pos_embed - pos_embed.mean((2, 3), keepdim=True)
    windows = centred.unflatten(3, (w // ww, ww)).unflatten(2, (h // wh, wh))
    part = windows.mean((2, 4))
    return F.adaptive_avg_pool2d(pos_embed - tile_pos_embed(part, (h, w)), stored), part
