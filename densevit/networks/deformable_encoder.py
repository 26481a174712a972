"""The encoder of Deformable DETR (arXiv:2010.04159, section 4.1) and its descendants: attention across levels."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ..layers import DeformableAttention, sine_positions
from ..layers.attention import FeedForward
from ..layers.levels import Grid, flatten_levels, reference_points


class LevelTokens(NamedTuple):
    """Maps of several levels as one sequence.

    Attributes:
        x: (B, N, D).
        positions: (1, N, D), each with the embedding of its level.
        grids: (h, w) of each level.
    """
    x: Tensor
    positions: Tensor
    grids: list[Grid]


def level_tokens(maps: Sequence[Tensor], level_embed: Tensor) -> LevelTokens:
    """Tokens of maps in the order in which they are given.

    Args:
        maps: (B, D, h_l, w_l) of each level, projected to the width of the encoder.
        level_embed: (L, D), learned, which tells tokens of different levels at one place apart.
    """
    grids = [tuple(x.shape[-2:]) for x in maps]
    positions = [
        sine_positions(grid, x.shape[1], x.device).to(x.dtype) + embed.view(1, -1, 1, 1)
        for grid, x, embed in zip(grids, maps, level_embed, strict=True)
    ]
    return LevelTokens(flatten_levels(maps), flatten_levels(positions), grids)


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention over all levels and a feed-forward layer, each post-norm.

    Args:
        dim: Width of the tokens.
        num_heads: Heads of the attention.
        num_levels: Levels that each token attends to.
        num_points: Points that a head samples on each level.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int, ffn_dim: int) -> None:
        super().__init__()
        self.attn = DeformableAttention(dim, num_heads, num_levels, num_points)
        self.norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(self, tokens: LevelTokens, references: Tensor) -> LevelTokens:
        """Tokens to tokens; references (1, N, 1, 2) are their places in [0, 1], x before y."""
        x = tokens.x
        x = self.norm(x + self.attn(x + tokens.positions, references, x, tokens.grids))
        return tokens._replace(x=self.ffn(x))


def run_encoder(layers: Sequence[DeformableEncoderLayer], tokens: LevelTokens) -> LevelTokens:
    """Tokens behind all the layers; each token's reference point is the centre of its cell."""
    references = reference_points(tokens.grids, tokens.x.device)
    for layer in layers:
        tokens = layer(tokens, references)
    return tokens
