"""Queries tied to places: for many small objects, and for training without pretrained weights."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import Tokens

_START_RADIUS = .5  # in cells
_STEEPNESS = 2.


class CellQueries(nn.Module):
    """Queries that begin as what a cell of patches shows, with masks that fade with the distance from it.

    A query is a learned embedding plus the projected mean of the patch tokens of one cell (content queries, as in
    two-stage Deformable DETR, arXiv:2010.04159). It states where in units of cells its object lies and how large it is,
    and its mask logits lose ``2 log(1 + u^2) + 2 log(1 + v^2) - 2 log 2`` at a distance of (u, v) object radii
    (positions as a prior on where a query looks, as in Conditional DETR, arXiv:2108.06152, and as CondInst's relative
    coordinates, arXiv:2003.05664). So queries need not learn positions one by one, nothing depends on the size of the
    image, and a larger image has more queries.

    Args:
        dim: D, of the tokens.
        cell: Side of a cell in patches; at the right and bottom a cell may hold fewer.
    """

    def __init__(self, dim: int, cell: int) -> None:
        super().__init__()
        self.cell = cell
        self.norm = nn.LayerNorm(dim)
        self.content = nn.Linear(dim, dim)
        self.place = nn.Linear(dim, 4)
        nn.init.zeros_(self.place.weight)
        nn.init.zeros_(self.place.bias)

    def begin(self, tokens: Tokens, embeddings: Tensor) -> Tensor:
        """Queries (B, cells * n, D) from the patches and n embeddings (n, D) for each cell, row by row."""
        cells = F.avg_pool2d(tokens.feature_map(), self.cell, ceil_mode=True, count_include_pad=False)
        content = self.content(self.norm(cells.flatten(2).transpose(1, 2)))
        return (content.unsqueeze(2) + embeddings).flatten(1, 2)

    def fade(self, queries: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The summands of the mask logits, as (B, Q, 1, w) and (B, Q, h, 1).

        Args:
            queries: (B, Q, D), as ``begin`` gave them and blocks changed them.
            grid: (h, w) of the image in patches.
            size: (h, w) of the masks, which cover the patches.
        """
        place = self.place(queries).float()  # half precision would round coordinates to tenths of a cell
        rows, columns = ((side + self.cell - 1) // self.cell for side in grid)
        per_cell = queries.shape[1] // (rows * columns)
        index = torch.arange(queries.shape[1], device=queries.device) // per_cell
        row = index // columns
        centers = torch.stack((index - row * columns, row), dim=-1) + .5 + place[..., :2]
        radii = _START_RADIUS * place[..., 2:].clamp(-4., 4.).exp()
        return (_fade(centers[..., 0], radii[..., 0], size[1], grid[1], self.cell).unsqueeze(2),
                _fade(centers[..., 1], radii[..., 1], size[0], grid[0], self.cell).unsqueeze(3))


def _fade(centers: Tensor, radii: Tensor, length: int, patches: int, cell: int) -> Tensor:
    """(B, Q) positions and radii in cells to (B, Q, length) logits along one side of a mask of so many patches."""
    step = torch.full((), patches, dtype=torch.float64) / cell / length  # a tensor, for sizes that an export holds open
    at = (torch.arange(length, device=centers.device) + .5) * step
    distance = (at - centers.unsqueeze(2)) / radii.unsqueeze(2)
    return _STEEPNESS * (.5 * math.log(2.) - distance.square().log1p())
