"""The trunk of SAM and ViTDet: tokens on a grid, windows, decomposed relative positions."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import vision_transformer_sam as sam
from torch import Tensor

from ...layers import AttentionWindows, decomposed_rel_pos_bias
from ...layers.symbolic import is_symbolic
from .policies import PositionPolicy, WindowPolicy
from .positions import positions_at
from .sequence import MASKED_WINDOWS, embed_patches
from .tokens import Tokens

# Of the relative positions of all pairs of tokens that are kept at once in prediction; all of 2048 x 2048 pixels would
# need 6 GB with 6 heads.
_BAND_BYTES = 2**27


@dataclass(frozen=True)
class GridLayout:
    """The grid and prefix of a block's tokens, and which of them may attend to which.

    Attributes:
        grid: (h, w) of the patches.
        num_prefix: Tokens ahead of them, which have no position: their relative positions add nothing.
        windows: None for global attention.
        mask: (B, 1, N, N), True where attention is allowed; None where everywhere.
    """
    grid: tuple[int, int]
    num_prefix: int = 0
    windows: AttentionWindows | None = None
    mask: Tensor | None = None


class GridAttention(sam.Attention):
    """timm's attention with relative positions at any grid, within windows that may be masked, and with more tokens."""

    def forward(self, x: Tensor, layout: GridLayout) -> Tensor:
        """Let the tokens (B, num_prefix + h * w, C) attend to each other."""
        windows = layout.windows
        if windows is None:
            return self._attend(x, layout.grid, layout.num_prefix, layout.mask)
        mask = windows.mask(x.shape[0], x.device)
        x = self._attend(windows.partition(x), windows.sides, layout.num_prefix, mask)
        return windows.merge(x)

    def _attend(self, x: Tensor, grid: tuple[int, int], num_prefix: int, mask: Tensor | None) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, head_dim)
        q, k = self.q_norm(q), self.k_norm(k)
        step = None if self.training or mask is not None or num_prefix else _rows_at_once(q, grid)
        if self.use_rel_pos and step is not None:
            x = self._attend_in_bands(q, k, v, grid, step)
            return self.proj(x.transpose(1, 2).flatten(2))
        if self.use_rel_pos:
            bias = decomposed_rel_pos_bias(q[:, :, num_prefix:], self.rel_pos_h, self.rel_pos_w, grid)
            if num_prefix:
                bias = F.pad(bias, (num_prefix, 0, num_prefix, 0))
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.attn_drop.p if self.training else 0.)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))

    def _attend_in_bands(self, q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], step: int) -> Tensor:
        """What all queries find, for those of ``step`` rows of the grid after the other."""
        found, width = torch.empty_like(v), grid[1]
        for start in range(0, grid[0], step):
            rows, band = slice(start, start + step), slice(start * width, (start + step) * width)
            bias = decomposed_rel_pos_bias(q[:, :, band], self.rel_pos_h, self.rel_pos_w, grid, rows)
            found[:, :, band] = F.scaled_dot_product_attention(q[:, :, band], k, v, attn_mask=bias)
        return found


def _rows_at_once(q: Tensor, grid: tuple[int, int]) -> int | None:
    """How many rows of queries (B, heads, N, D) have their relative positions at once; None for all, as in training."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or is_symbolic(*grid, q.shape[0]):
        return None
    bytes_of_row = q.shape[0] * q.shape[1] * grid[1] * q.shape[2] * q.element_size()
    return None if grid[0] * bytes_of_row <= _BAND_BYTES else max(1, _BAND_BYTES // bytes_of_row)


class GridBlock(sam.Block):
    """timm's block, whose windows are known to its attention alone: stochastic depth drops whole images."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attn.__class__ = GridAttention

    def forward(self, x: Tensor, layout: GridLayout | None = None) -> Tensor:
        """Run on (B, num_prefix + h * w, C) or, without a layout, as timm's model calls it, on (B, h, w, C)."""
        if layout is None:
            grid = tuple(x.shape[1:3])
            windows = AttentionWindows(grid, self.window_size, mask_pads=False) if self.window_size else None
            return self(x.flatten(1, 2), GridLayout(grid, windows=windows)).unflatten(1, grid)
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), layout)))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class GridTrunk:
    """timm's ``VisionTransformerSAM`` with :class:`GridBlock`: SAM (arXiv:2304.02643), ViTDet (arXiv:2203.16527)."""

    def __init__(self, trunk: sam.VisionTransformerSAM, windows: WindowPolicy, positions: PositionPolicy) -> None:
        if trunk.rope_global is not None:
            raise ValueError('a SAM trunk with rotary positions (use_rope) has them at one size only; leave out '
                             'use_rope, or take an Eva trunk, whose rotary positions are at any size')
        self.trunk = trunk
        self.windows = windows
        self.positions = positions
        self.pos_embed_options = positions.resize_options

    def embed(self, images: Tensor) -> Tokens:
        x, stem = embed_patches(self.trunk.patch_embed, images)
        grid = tuple(x.shape[1:3])
        x = x.flatten(1, 2)
        pos_embed = positions_at(self.trunk, grid, self.positions)
        if pos_embed is not None:
            x = x + pos_embed
        return Tokens(self.trunk.norm_pre(self.trunk.pos_drop(x)), grid, stem=stem)

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tensor:
        windows = self.windows.windows(index, tokens)
        if windows is not None and attn_mask is not None:
            raise ValueError(MASKED_WINDOWS)
        return self.trunk.blocks[index](tokens.x, GridLayout(tokens.grid, tokens.num_prefix, windows, attn_mask))
