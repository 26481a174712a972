"""A pyramid of tokens reads feature maps; sections are those of ViT-Adapter, arXiv:2205.08534."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from timm.layers import DropPath
from torch import Tensor, nn

from ..backbones.options import Grid
from ..layers import DeformableAttention
from ..layers.levels import flatten_levels, reference_points, split_levels

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class DeformableStep(nn.Module):
    """Normalised queries attend to points in normalised feature maps; no residual.

    Args:
        dim: Width of queries and features.
        num_levels: Feature maps that are attended.
        num_heads, num_points, value_ratio: See :class:`densevit.layers.DeformableAttention`.
    """

    def __init__(self, dim: int, num_levels: int, num_heads: int, num_points: int, value_ratio: float) -> None:
        super().__init__()
        self.query_norm = LayerNorm(dim)
        self.feat_norm = LayerNorm(dim)
        self.attn = DeformableAttention(dim, num_heads, num_levels, num_points, value_ratio)

    def attend(self, query: Tensor, query_grids: Sequence[Grid], feat: Tensor, feat_grids: Sequence[Grid]) -> Tensor:
        """Read features (B, S, D) on their grids by queries (B, Q, D) on theirs; without a residual."""
        references = reference_points(query_grids, query.device)
        return self.attn(self.query_norm(query), references, self.feat_norm(feat), feat_grids)


class ConvFFN(nn.Module):
    """A pre-norm residual feed-forward layer with a depth-wise 3x3 convolution that all levels share: section 3.4.

    Args:
        dim: Width of the tokens.
        ratio: Hidden width over ``dim``.
        drop_path: Rate at which the branch is dropped.
    """

    def __init__(self, dim: int, ratio: float, drop_path: float) -> None:
        super().__init__()
        hidden_dim = int(dim * ratio)
        self.norm = LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dwconv = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1, groups=hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Transform the tokens (B, N, D) of maps of these grids."""
        maps = split_levels(self.fc1(self.norm(tokens)), grids)
        hidden = flatten_levels([self.dwconv(x) for x in maps])
        return tokens + self.drop_path(self.fc2(self.act(hidden)))


class Extractor(DeformableStep):
    """A pyramid of tokens reads features by attention and passes a feed-forward layer: section 3.4, eq. 2 and 3.

    Args:
        dim, num_levels, num_heads, num_points, value_ratio: See :class:`DeformableStep`.
        ffn_ratio: Hidden width of the feed-forward layer over ``dim``; None for no such layer.
        drop_path: Rate at which the feed-forward branch is dropped; the attention never is.
    """

    def __init__(
        self,
        dim: int,
        num_levels: int,
        num_heads: int,
        num_points: int,
        value_ratio: float,
        ffn_ratio: float | None,
        drop_path: float,
    ) -> None:
        super().__init__(dim, num_levels, num_heads, num_points, value_ratio)
        self.ffn = None if ffn_ratio is None else ConvFFN(dim, ffn_ratio, drop_path)

    def forward(self, query: Tensor, query_grids: Sequence[Grid], feat: Tensor, feat_grids: Sequence[Grid]) -> Tensor:
        """Let the pyramid (B, N, D) read features (B, S, D)."""
        query = query + self.attend(query, query_grids, feat, feat_grids)
        return query if self.ffn is None else self.ffn(query, query_grids)
