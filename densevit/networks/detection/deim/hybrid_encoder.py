"""The hybrid encoder of RT-DETR (arXiv:2304.08069, section 4.2) with the blocks of D-FINE and DEIMv2."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....layers.attention import SelfAttention
from ....layers.levels import Grid, flatten_levels
from ..projector import ConvNormAct

Fusion = Literal['sum', 'cat']


class HybridEncoder(nn.Module):
    """Attention within the coarsest level, then levels are fused from coarse to fine and back.

    Args:
        dim: Width D of all levels.
        num_levels: Levels, each half as fine as the one before.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward layer.
        fusion: Whether two levels are added (``'sum'``: DEIMv2) or joined (``'cat'``: D-FINE).
        expansion: Width of the inner branches of a fusing block over D / 2.
        num_blocks: Convolutions of each of these branches.
        branch_convs: Whether each branch ends with a 3x3 convolution (D-FINE).
    """

    def __init__(
        self,
        dim: int,
        num_levels: int,
        num_heads: int,
        ffn_dim: int,
        fusion: Fusion,
        expansion: float,
        num_blocks: int,
        branch_convs: bool,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.layer = EncoderLayer(dim, num_heads, ffn_dim)
        in_dim, branch_dim = (dim if fusion == 'sum' else 2 * dim), int(expansion * dim // 2)

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(
                ELAN(in_dim, dim, branch_dim, num_blocks, branch_convs) for _ in range(num_levels - 1))

        # In the order in which they are used: the coarsest level first, then the finest.
        self.lateral = nn.ModuleList(
            ConvNormAct(dim, dim, activation=nn.Identity) for _ in range(num_levels - 1))
        self.up_blocks = blocks()
        self.down = nn.ModuleList(
            nn.Sequential(ConvNormAct(dim, dim, activation=nn.Identity),
                          ConvNormAct(dim, dim, 3, stride=2, activation=nn.Identity, groups=dim))
            for _ in range(num_levels - 1))
        self.down_blocks = blocks()

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Levels (B, D, h_l, w_l), finest first, to the same."""
        *finer, x = maps
        x = self.layer(x)
        fused = []
        for lateral, block, fine in zip(self.lateral, self.up_blocks, reversed(finer), strict=True):
            x = lateral(x)
            fused.append(x)
            x = block(self._fuse(F.interpolate(x, fine.shape[-2:], mode='nearest'), fine))
        levels = [x]
        for down, block, coarse in zip(self.down, self.down_blocks, reversed(fused), strict=True):
            levels.append(block(self._fuse(down(levels[-1]), coarse)))
        return levels

    def _fuse(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y if self.fusion == 'sum' else torch.cat((x, y), dim=1)


class EncoderLayer(nn.Module):
    """Self-attention over a map with sine positions, and a feed-forward layer, each post-norm.

    Args:
        dim: Width D.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, num_heads)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn_dim), nn.GELU(), nn.Linear(ffn_dim, dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to the same."""
        grid = tuple(x.shape[-2:])
        tokens = flatten_levels([x])
        tokens = self.self_attn(tokens, cell_sines(grid, x.shape[1], x.device).to(x.dtype))
        tokens = self.norm(tokens + self.ffn(tokens))
        return tokens.transpose(1, 2).unflatten(2, grid)


class ELAN(nn.Module):
    """Half of the channels pass through two branches, one behind the other; all that was made is joined.

    Args:
        in_dim: Width of the fused levels.
        dim: Width D of the result.
        branch_dim: Width of the branches.
        num_blocks: Convolutions of each.
        branch_convs: Whether each ends with a 3x3 convolution.
    """

    def __init__(self, in_dim: int, dim: int, branch_dim: int, num_blocks: int, branch_convs: bool) -> None:
        super().__init__()
        self.split = ConvNormAct(in_dim, 2 * dim)
        self.branches = nn.ModuleList()
        for width in (dim, branch_dim):
            branch = nn.Sequential(CrossStage(width, branch_dim, num_blocks))
            if branch_convs:
                branch.append(ConvNormAct(branch_dim, branch_dim, 3))
            self.branches.append(branch)
        self.join = ConvNormAct(2 * (dim + branch_dim), dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        parts = list(self.split(x).chunk(2, dim=1))
        for branch in self.branches:
            parts.append(branch(parts[-1]))
        return self.join(torch.cat(parts, dim=1))


class CrossStage(nn.Module):
    """Convolutions beside a way past them.

    Args:
        in_dim, dim: Widths.
        num_blocks: Convolutions.
    """

    def __init__(self, in_dim: int, dim: int, num_blocks: int) -> None:
        super().__init__()
        self.split = ConvNormAct(in_dim, 2 * dim)
        self.blocks = nn.Sequential(*(TwoKernels(dim) for _ in range(num_blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        passed, x = self.split(x).chunk(2, dim=1)
        return passed + self.blocks(x)


class TwoKernels(nn.Module):
    """A 3x3 and a 1x1 convolution side by side: RepVGG's block (arXiv:2101.03697) as it is trained.

    Args:
        dim: Width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.wide = ConvNormAct(dim, dim, 3, activation=nn.Identity)
        self.narrow = ConvNormAct(dim, dim, 1, activation=nn.Identity)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, h, w) to the same."""
        return F.silu(self.wide(x) + self.narrow(x))


def cell_sines(grid: Grid, dim: int, device: torch.device, temperature: float = 10000.) -> Tensor:
    """Sines and cosines of each cell's row, then of its column, (h * w, D), D being a multiple of 4.

    Rows and columns are counted from 0 and not scaled, unlike DETR's.
    """
    waves = temperature ** (-torch.arange(dim // 4, device=device, dtype=torch.float32) / (dim // 4))
    rows, columns = (torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1) * waves for length in grid)
    rows, columns = (torch.cat((angles.sin(), angles.cos()), dim=1) for angles in (rows, columns))
    return torch.cat((rows.unsqueeze(1).expand(-1, grid[1], -1), columns.expand(grid[0], -1, -1)), -1).flatten(0, 1)
