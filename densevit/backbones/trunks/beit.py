"""BEiT and BEiTv2: relative positions as a bias of each pair of tokens, at any grid."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.models.beit import Attention
from torch import Tensor

from ...layers import AttentionWindows, relative_position_bias
from .sequence import MASKED_WINDOWS, SequenceTrunk
from .tokens import Tokens


@dataclass(frozen=True)
class AttentionBias:
    """The bias that a block's attention gets in the place of timm's shared one.

    Attributes:
        bias: (1, heads, N, N) for the tokens of an image or a window; None for none.
        windows: None for global attention.
        mask: (B, 1, N, N), True where attention is allowed; None where everywhere.
    """
    bias: Tensor | None
    windows: AttentionWindows | None = None
    mask: Tensor | None = None


class BiasedAttention(Attention):
    """timm's attention, with a bias that its driver made for the grid at hand."""

    def forward(self, x: Tensor, shared_rel_pos_bias: Tensor | AttentionBias | None = None) -> Tensor:
        told = shared_rel_pos_bias
        if not isinstance(told, AttentionBias):
            return super().forward(x, shared_rel_pos_bias=told)
        if told.windows is None:
            return self._attend(x, told.bias, told.mask)
        mask = told.windows.mask(x.shape[0], x.device)
        return told.windows.merge(self._attend(told.windows.partition(x), told.bias, mask))

    def _attend(self, x: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        qkv_bias = None if self.q_bias is None else torch.cat((self.q_bias, self.k_bias, self.v_bias))
        qkv = F.linear(x, self.qkv.weight, qkv_bias).unflatten(2, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if bias is not None:
            bias = bias.to(q.dtype)
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.attn_drop.p if self.training else 0.)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


class BeitTrunk(SequenceTrunk):
    """timm's ``Beit``: BEiT (arXiv:2106.08254) and BEiTv2 (arXiv:2208.06366).

    At the grid it was built for (``img_size``) it is timm's model. timm, and ViT-Adapter with it, know one grid and
    resize the tables to it when a checkpoint is loaded, on a geometric scale; at any other grid, and in windows, the
    table is interpolated here each time, so that it still learns.
    """

    def _prepare_windows(self) -> None:
        if self.windows.pad_mode == 'official':
            raise ValueError("pad_mode='official': no official BEiT has windows; use pad_mode='masked'")
        for block in self.trunk.blocks:
            block.attn.__class__ = BiasedAttention

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tensor:
        windows = self.windows.windows(index, tokens)
        if windows is not None and attn_mask is not None:
            raise ValueError(MASKED_WINDOWS)
        bias = self._bias(index, tokens, tokens.grid if windows is None else windows.sides)
        return self.trunk.blocks[index](tokens.x, shared_rel_pos_bias=AttentionBias(bias, windows, attn_mask))

    def _bias(self, index: int, tokens: Tokens, grid: tuple[int, int]) -> Tensor | None:
        attention, shared, own = self.trunk.blocks[index].attn, self.trunk.rel_pos_bias, self.trunk.num_prefix_tokens
        biases = [
            relative_position_bias(holder.relative_position_bias_table, tuple(holder.window_size), grid, bool(own),
                                   tokens.num_prefix - own, self.positions.antialias, self.positions.kernel)
            for holder in (attention, shared)
            if holder is not None and holder.relative_position_bias_table is not None
        ]
        return sum(biases[1:], biases[0]) if biases else None
