"""Blocks of a Swin v2 that attend to the whole map, as in Plain DETR's backbone (arXiv:2308.01904).

A window's positions enter Swin v2 (arXiv:2111.09883) through an MLP of their logarithms, which knows any distance: a
block that was trained in windows can see a map of any size with the same parameters.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.models import swin_transformer_v2
from torch import Tensor, nn


def attend_globally(model: nn.Module, blocks: Sequence[int]) -> None:
    """Let some blocks attend to the whole map instead of windows.

    Args:
        model: A Swin v2 of timm.
        blocks: Their numbers, counted over all stages, from the end where negative.

    Raises:
        ValueError: The model is another, or has no such block.
    """
    if not isinstance(model, swin_transformer_v2.SwinTransformerV2):
        raise ValueError(f'global_blocks are those of a Swin v2 (swinv2_...), and {type(model).__name__} is none: '
                         'leave them out')
    found = [block for stage in model.layers for block in stage.blocks]
    for index in blocks:
        if not -len(found) <= index < len(found):
            raise ValueError(f'global_blocks has {index}, and the model has {len(found)} blocks: give numbers from 0, '
                             'or negative ones, which count from the end')
        found[index].__class__ = _GlobalBlock  # timm has no argument for the kind of block
        found[index].attn.__class__ = _GlobalAttention


class _GlobalBlock(swin_transformer_v2.SwinTransformerV2Block):

    def _attn(self, x: Tensor) -> Tensor:
        return self.attn(x)


class _GlobalAttention(swin_transformer_v2.WindowAttention):

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        biases = None if self.q_bias is None else torch.cat((self.q_bias, self.k_bias, self.v_bias))
        qkv = F.linear(x.flatten(1, 2), self.qkv.weight, biases).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q = F.normalize(q, dim=-1) * self.logit_scale.clamp(max=math.log(100.)).exp()
        attended = F.scaled_dot_product_attention(
            q, F.normalize(k, dim=-1), v, self.position_bias(*x.shape[1:3]).to(q.dtype),
            self.attn_drop.p if self.training else 0., scale=1.)
        return self.proj_drop(self.proj(attended.transpose(1, 2).flatten(2))).view_as(x)

    def position_bias(self, height: int, width: int) -> Tensor:
        """What is added to the logits of a map, (heads, H * W, H * W)."""
        rows, columns = (self._logarithms(side, known)
                         for side, known in zip((height, width), self.pretrained_window_size, strict=True))
        distances = torch.stack((rows.unsqueeze(1).expand(-1, len(columns)), columns.expand(len(rows), -1)), dim=-1)
        table = 16. * self.cpb_mlp(distances.to(self.logit_scale.dtype)).sigmoid()  # (2 H - 1, 2 W - 1, heads)
        down, across = (self._places(side) for side in (height, width))
        bias = table[down[:, None, :, None], across[None, :, None, :]]  # (H, W, H, W, heads)
        return bias.flatten(2, 3).flatten(0, 1).permute(2, 0, 1)

    def _logarithms(self, side: int, known: int) -> Tensor:
        """Those of all distances along a side (eq. 4), in shares of the window that the weights are of."""
        distances = torch.arange(1 - side, side, device=self.logit_scale.device, dtype=torch.float32)
        shares = 8. * distances / max((known or side) - 1, 1)
        return shares.sign() * (shares.abs() + 1.).log2() / 3.

    def _places(self, side: int) -> Tensor:
        """The place of the distance of two cells among all, (side, side)."""
        cells = torch.arange(side, device=self.logit_scale.device)
        return cells.unsqueeze(1) - cells + side - 1
