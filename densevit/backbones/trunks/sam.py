"""The trunk of SAM and ViTDet: tokens on a grid, windows, decomposed relative positions."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.models import vision_transformer_sam as sam
from torch import Tensor

from ...layers import AttentionWindows, decomposed_rel_pos_bias
from .policies import PositionPolicy, WindowPolicy
from .positions import positions_at
from .sequence import embed_patches
from .tokens import Tokens


class GridAttention(sam.Attention):
    """timm's attention with relative positions at any grid, and within windows that may be masked."""

    def forward(self, x: Tensor, windows: AttentionWindows | None = None) -> Tensor:
        mask = None
        if windows is not None:
            mask = windows.mask(len(x), x.device)
            x = windows.partition_map(x)
        grid = x.shape[1:3]
        qkv = self.qkv(x).flatten(1, 2).unflatten(2, (3, self.num_heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, h * w, head_dim)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.use_rel_pos:
            bias = decomposed_rel_pos_bias(q, self.rel_pos_h, self.rel_pos_w, tuple(grid))
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.attn_drop.p if self.training else 0.)
        x = self.proj_drop(self.proj(x.transpose(1, 2).flatten(2).unflatten(1, grid)))
        return x if windows is None else windows.merge_map(x)


class GridBlock(sam.Block):
    """timm's block, whose windows are known to its attention alone: stochastic depth drops whole images."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attn.__class__ = GridAttention

    def forward(self, x: Tensor, windows: AttentionWindows | None = None) -> Tensor:
        if windows is None and self.window_size:  # called by timm's model
            windows = AttentionWindows(tuple(x.shape[1:3]), self.window_size, mask_pads=False)
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), windows)))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class GridTrunk:
    """timm's ``VisionTransformerSAM`` with :class:`GridBlock`: SAM (arXiv 2304.02643), ViTDet (arXiv 2203.16527)."""
    takes_extra_tokens = False

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
        if tokens.num_prefix or attn_mask is not None:
            raise ValueError('a SAM trunk attends within windows of the image grid and takes neither extra tokens nor '
                             'an attention mask; choose a trunk of the VisionTransformer or Eva family')
        x = tokens.x.unflatten(1, tokens.grid)
        return self.trunk.blocks[index](x, self.windows.windows(index, tokens)).flatten(1, 2)
