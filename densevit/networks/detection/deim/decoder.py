"""The decoder layer of D-FINE (arXiv:2410.13842) and DEIMv2 (arXiv:2509.20787, section 3.2)."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....layers.attention import Attention
from ....layers.deformable_attention import multi_scale_deformable_attention
from ....layers.levels import Grid
from ..lw_detr import mlp

Style = Literal['deimv2', 'd-fine']


class DecoderLayer(nn.Module):
    """Self-attention, sampled cross-attention whose result is weighed against the query, and a feed-forward layer.

    Args:
        dim: Width D of the queries.
        num_heads: Heads of both attentions.
        num_points: Points that a head samples on each level.
        ffn_dim: Hidden width of the feed-forward layer; SwiGLU's is half of it.
        style: ``'deimv2'`` has RMS norms and SwiGLU, ``'d-fine'`` layer norms and ReLU.
    """

    def __init__(self, dim: int, num_heads: int, num_points: Sequence[int], ffn_dim: int, style: Style) -> None:
        super().__init__()
        norm = partial(RMSNorm, eps=1e-6) if style == 'deimv2' else nn.LayerNorm
        self.self_attn, self.norm1 = Attention(dim, num_heads), norm(dim)
        self.cross_attn = SampledAttention(dim, num_heads, num_points)
        self.gate, self.norm2 = nn.Linear(2 * dim, 2 * dim), norm(dim)
        self.ffn = SwiGLU(dim, ffn_dim // 2) if style == 'deimv2' else mlp(dim, ffn_dim, dim, 2)
        self.norm3 = norm(dim)
        nn.init.zeros_(self.gate.weight)  # both gates begin half open
        nn.init.zeros_(self.gate.bias)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        references: Tensor,
        memory: Tensor,
        grids: Sequence[Grid],
        mask: Tensor | None = None,
    ) -> Tensor:
        """Queries (B, Q, D) at reference boxes (B, Q, 4) read a memory (B, N, D).

        ``mask``, (1, 1, Q, Q), is True where a query attends to another.
        """
        placed = x + positions
        x = self.norm1(x + self.self_attn(placed, placed, x, mask))
        read = self.cross_attn(x + positions, references, memory, grids)
        keep, take = self.gate(torch.cat((x, read), dim=-1)).sigmoid().chunk(2, dim=-1)
        x = self.norm2(keep * x + take * read)
        # Half precision would overflow here before anything else.
        return self.norm3((x + self.ffn(x)).clamp(-65504., 65504.))


class SampledAttention(nn.Module):
    """Deformable attention to the memory as it is, without projections, of a number of points of its own per level.

    Args:
        dim: Width D.
        num_heads: M.
        num_points: Points of a head on each of the L levels.
    """

    def __init__(self, dim: int, num_heads: int, num_points: Sequence[int]) -> None:
        super().__init__()
        self.num_heads, self.num_points = num_heads, tuple(num_points)
        self.sampling_offsets = nn.Linear(dim, num_heads * sum(num_points) * 2)
        self.attention_weights = nn.Linear(dim, num_heads * sum(num_points))
        for tensor in (self.sampling_offsets.weight, self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(tensor)
        angles = torch.arange(num_heads) * (2 * torch.pi / num_heads)
        rays = torch.stack((angles.cos(), angles.sin()), -1)
        rays = rays / rays.abs().amax(-1, keepdim=True)  # onto the square ring around the reference
        steps = torch.cat([torch.arange(1, count + 1) for count in num_points])
        with torch.no_grad():
            self.sampling_offsets.bias.copy_((rays[:, None] * steps[:, None]).flatten())

    def forward(self, query: Tensor, references: Tensor, memory: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Queries (B, Q, D) at boxes (B, Q, 4) read a memory (B, N, D); offsets are shares of the boxes."""
        offsets = self.sampling_offsets(query).unflatten(-1, (self.num_heads, -1, 2))
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        centres, sizes = references[:, :, None, None].split(2, dim=-1)
        most, locations, shares = max(self.num_points), [], []
        for count, offset, weight in zip(self.num_points, offsets.split(self.num_points, dim=3),
                                         weights.split(self.num_points, dim=3), strict=True):
            # Levels of fewer points get some of no weight.
            locations.append(F.pad(centres + offset.float() * sizes * (.5 / count), (0, 0, 0, most - count)))
            shares.append(F.pad(weight, (0, most - count)))
        return multi_scale_deformable_attention(
            memory.unflatten(-1, (self.num_heads, -1)), grids, torch.stack(locations, 3), torch.stack(shares, 3))


class RMSNorm(nn.RMSNorm):
    """PyTorch's, always in single precision."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to the same."""
        return F.rms_norm(x.float(), self.normalized_shape, self.weight.float(), self.eps).to(x.dtype)


class SwiGLU(nn.Module):
    """A feed-forward layer with a gate (arXiv:2002.05202).

    Args:
        dim: Width D.
        hidden_dim: Hidden width.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, 2 * hidden_dim), nn.Linear(hidden_dim, dim)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Q, D) to the same."""
        gate, value = self.linear1(x).chunk(2, dim=-1)
        return self.linear2(F.silu(gate) * value)


class LocationQuality(nn.Module):
    """How sure the edges are becomes a part of the class logits (D-FINE, appendix: location quality estimator).

    Args:
        num_best: The highest probabilities of each edge that are read.
        hidden_dim: Hidden width.
        activation: The class of the activation.
    """

    def __init__(self, activation: type[nn.Module], num_best: int = 4, hidden_dim: int = 64) -> None:
        super().__init__()
        self.num_best = num_best
        self.mlp = mlp(4 * (num_best + 1), hidden_dim, 1, 2, activation)
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, edges: Tensor) -> Tensor:
        """Logits of bins (B, Q, 4, N + 1) to what is added to those of classes, (B, Q, 1)."""
        best = edges.softmax(-1).topk(self.num_best, dim=-1).values
        return self.mlp(torch.cat((best, best.mean(-1, keepdim=True)), dim=-1).flatten(-2))
