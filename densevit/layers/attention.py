"""Post-norm transformer sublayers, x -> LayerNorm(x + f(x)), as in DETR (arXiv:2005.12872) and its descendants."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention whose keys and values may come from different tensors.

    Args:
        dim: Width of queries, keys and values.
        num_heads: Attention heads.
        dropout: Rate at which attention weights are dropped in training.

    Raises:
        ValueError: If the heads do not divide the width.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide embed_dim={dim}; choose one that does')
        self.num_heads, self.dropout = num_heads, dropout
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.out_proj = nn.Linear(dim, dim)
        for layer in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.xavier_uniform_(layer.weight, gain=.5**.5)  # as if the three were one matrix
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.out_proj.weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from queries (B, Q, D) to keys and values (B, N, D); a mask, (B, 1, Q, N), is True where to attend."""
        projected = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected)
        attended = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class SelfAttention(nn.Module):
    """Tokens attend to each other; positions are added to queries and keys."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.) -> None:
        super().__init__()
        self.attn = Attention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Let tokens (B, N, D) attend to each other; positions broadcast to that shape."""
        placed = x + positions
        return self.norm(x + self.dropout(self.attn(placed, placed, x)))


class CrossAttention(nn.Module):
    """Queries read a memory; positions are added to queries and keys."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.) -> None:
        super().__init__()
        self.attn = Attention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Let queries (B, Q, D) read a memory (B, N, D); a mask, (B, 1, Q, N), is True where to attend."""
        read = self.attn(x + positions, memory + memory_positions, memory, mask)
        return self.norm(x + self.dropout(read))


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token of (B, N, D)."""
        hidden = self.dropout(self.linear1(x).relu())
        return self.norm(x + self.dropout(self.linear2(hidden)))
