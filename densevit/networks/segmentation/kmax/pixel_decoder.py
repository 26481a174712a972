"""The pixel decoder of k-means Mask Transformer (arXiv:2207.04044).

From the coarsest map on, residual blocks of axial attention (arXiv:2003.07853) at strides 32 and 16 and of convolutions
at strides 8 and 4; every map is fused into the next finer one.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d, trunc_normal_tf_
from torch import Tensor, nn

from ....layers import resize_bilinear
from .parts import ConvNorm, batch_norm

Kind = Literal['axial', 'bottleneck']
MAX_DISTANCE = 254  # of learned relative positions; those farther apart share the last one
_VALUE_EXPANSION = 2


class AxialAttention(nn.Module):
    """Attention along the last axis, whose queries, keys and values know relative positions: (N, C, L) to (N, V, L).

    Position-sensitive attention of Axial-DeepLab (arXiv:2003.07853), with batch norms of the three
    similarities and of the two outputs.

    Args:
        dim: C.
        key_dim: Total width of queries, and of keys.
        value_dim: V.
        num_heads: Divides both.
    """

    def __init__(self, dim: int, key_dim: int, value_dim: int, num_heads: int) -> None:
        super().__init__()
        if key_dim % num_heads or value_dim % num_heads:
            raise ValueError(f'{num_heads} heads do not divide {key_dim} and {value_dim} channels: choose num_heads or '
                             'decoder_channels so that they do')
        self.num_heads, self.splits = num_heads, (key_dim, key_dim, value_dim)
        self.qkv = nn.Conv1d(dim, sum(self.splits), 1, bias=False)
        trunc_normal_tf_(self.qkv.weight, std=dim**-.5)
        self.query_positions, self.key_positions, self.value_positions = (
            nn.Parameter(trunc_normal_tf_(torch.empty(2 * MAX_DISTANCE + 1, width // num_heads)))
            for width in self.splits)
        self.norm_qkv = batch_norm(sum(self.splits), 1)
        self.norm_similarity = batch_norm(3 * num_heads, 2)
        self.norm_output = batch_norm(2 * value_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[-1], device=x.device)
        distances = (places - places[:, None]).clamp(-MAX_DISTANCE, MAX_DISTANCE) + MAX_DISTANCE
        q, k, v = (part.unflatten(1, (self.num_heads, -1)) for part in self.norm_qkv(self.qkv(x)).split(self.splits, 1))
        similarity = torch.cat((
            torch.einsum('nhdl,nhdm->nhlm', q, k),
            torch.einsum('nhdl,lmd->nhlm', q, self.query_positions[distances]),
            torch.einsum('nhdm,lmd->nhlm', k, self.key_positions[distances])), dim=1)
        similarity = self.norm_similarity(similarity).unflatten(1, (3, self.num_heads)).sum(1)
        weights = similarity.float().softmax(-1).to(v.dtype)
        output = torch.cat((
            torch.einsum('nhlm,nhdm->nhdl', weights, v),
            torch.einsum('nhlm,lmd->nhdl', weights, self.value_positions[distances])), dim=1)
        return self.norm_output(output.flatten(1, 2)).unflatten(1, (2, -1)).sum(1)


class AxialAttention2D(nn.Module):
    """Attention down the columns, then along the rows: (B, C, h, w) to (B, V, h, w)."""

    def __init__(self, dim: int, key_dim: int, value_dim: int, num_heads: int) -> None:
        super().__init__()
        self.columns = AxialAttention(dim, key_dim, value_dim, num_heads)
        self.rows = AxialAttention(value_dim, key_dim, value_dim, num_heads)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        x = self.columns(x.permute(0, 3, 1, 2).flatten(0, 1))  # (B w, V, h)
        x = x.unflatten(0, (batch, -1)).permute(0, 3, 2, 1).flatten(0, 1)
        x = self.rows(x)  # (B h, V, w)
        return x.unflatten(0, (batch, -1)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """A pre-activation bottleneck around axial attention or a 3 x 3 convolution: (B, C, h, w) to (B, 4 D, h, w).

    Args:
        in_channels: C.
        channels: D.
        kind: What is in the middle.
        num_heads: Heads of the attention.
        drop_path: Share of dropped branches.
    """

    def __init__(self, in_channels: int, channels: int, kind: Kind, num_heads: int, drop_path: float) -> None:
        super().__init__()
        out_channels, inner = 4 * channels, channels
        if kind == 'axial':
            inner = _VALUE_EXPANSION * channels
            middle = nn.Sequential(AxialAttention2D(2 * channels, channels, inner, num_heads), nn.GELU())
        elif kind == 'bottleneck':
            middle = ConvNorm(channels, channels, 3)
        else:
            raise ValueError(f"decoder_kinds has '{kind}': choose 'axial' or 'bottleneck'")
        self.shortcut = (nn.Identity() if in_channels == out_channels
                         else ConvNorm(in_channels, out_channels, act=False))
        self.reduce = ConvNorm(in_channels, 2 * channels if kind == 'axial' else channels)
        self.middle = middle
        self.expand = ConvNorm(inner, out_channels, act=False, scale=0.)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(x)
        return self.shortcut(x) + self.drop_path(self.expand(self.middle(self.reduce(x))))


class Fuse(nn.Module):
    """A coarse map, resized, is added to a finer one.

    Args:
        coarse_channels, fine_channels: Channels of the two maps, each projected if it has not ``out_channels``.
    """

    def __init__(self, coarse_channels: int, fine_channels: int, out_channels: int, corner_aligned: bool) -> None:
        super().__init__()
        self.corner_aligned = corner_aligned
        self.coarse, self.fine = (
            nn.Identity() if channels == out_channels else nn.Sequential(
                nn.GELU(), ConvNorm(channels, out_channels, act=False)) for channels in (coarse_channels, fine_channels)
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return resize_bilinear(self.coarse(coarse), fine.shape[-2:], self.corner_aligned) + self.fine(fine)


class KMaXPixelDecoder(nn.Module):
    """Maps of a backbone, coarsest first, to as many of the same sizes.

    Args:
        in_channels: Channels of the maps, coarsest first.
        channels: D of each level's blocks, which give 4 D.
        depths: Blocks of each level.
        kinds: What they are.
        num_heads: Heads of axial attention.
        drop_path: Share of dropped branches.
        corner_aligned: Whether corner pixels of the levels lie on each other.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int] = (512, 256, 128, 64),
        depths: Sequence[int] = (1, 5, 1, 1),
        kinds: Sequence[Kind] = ('axial', 'axial', 'bottleneck', 'bottleneck'),
        num_heads: int = 8,
        drop_path: float = 0.,
        corner_aligned: bool = False,
    ) -> None:
        super().__init__()
        if not len(in_channels) == len(channels) == len(depths) == len(kinds) or min(depths) < 1:
            raise ValueError(f'decoder_channels, decoder_depths and decoder_kinds need {len(in_channels)} entries, one '
                             'for each map of the backbone, coarsest first, and at least one block each')
        self.out_channels = tuple(4 * width for width in channels)
        self.norms = nn.ModuleList(LayerNorm2d(width, eps=1e-6) for width in in_channels)
        inputs = (in_channels[0], *channels[1:])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(first if index == 0 else 4 * width, width, kind, num_heads, drop_path)
                            for index in range(depth)))
            for first, width, depth, kind in zip(inputs, channels, depths, kinds, strict=True))
        self.fuses = nn.ModuleList(
            Fuse(coarse, fine, width, corner_aligned)
            for coarse, fine, width in zip(self.out_channels[:-1], in_channels[1:], channels[1:], strict=True))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Refine maps (B, C_i, h_i, w_i), coarsest first, to (B, 4 D_i, h_i, w_i)."""
        x = self.stages[0](self.norms[0](maps[0]))
        outputs = [x]
        for fine, norm, stage, fuse in zip(maps[1:], self.norms[1:], self.stages[1:], self.fuses, strict=True):
            x = stage(fuse(x, norm(fine)))
            outputs.append(x)
        return outputs
