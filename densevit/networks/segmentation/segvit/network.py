"""SegViT: Semantic Segmentation with Plain Vision Transformers (arXiv:2210.05844), and SegViTv2 (arXiv:2306.06289).

One query a class reads the maps of a backbone. How similar it is to each place is that class's mask: attention to mask.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ....layers.attention import Attention, FeedForward, SelfAttention
from ...pyramids import at_finest
from ..base import MaskNetwork
from ..mask_types import MaskPrediction
from .loss import SegViTLoss

_SELF_PROJECTIONS = tuple(f'self_attention.attn.{part}_proj' for part in 'qkv')


class SegViT(MaskNetwork):
    """Class queries that read the levels of a backbone, the deepest first (arXiv:2210.05844).

    Each level is read by a stage of ``num_layers`` transformer decoder layers. The similarities in the last of them,
    before the softmax and averaged over heads, are mask logits; those of all stages so far are added up. What a query
    has become tells whether its class is in the image. Levels may differ in stride: each is read at its own
    resolution, and mask logits are resized to the finest before they are added. In train mode there is a prediction
    for each stage, in evaluation the last alone.

    Args:
        backbone: Gives maps of any strides. The authors take blocks 6, 8 and 12 of ViT-B (``out_indices=(5, 7, 11)``)
            and 8, 16 and 24 of ViT-L, without the final norm (``norm_out=False``).
        num_classes: C, and the number of queries Q; query i is that of class i.
        embed_dim: Width of the decoder; the authors take half of the ViT's.
        num_heads: Attention heads; the authors take as many as the ViT has.
        num_layers: Decoder layers of each stage.
        dropout: Rate of dropout in the decoder.
    """
    loss_class = SegViTLoss
    class_parts = ('class_head', 'query')

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        embed_dim: int = 384,
        num_heads: int = 12,
        num_layers: int = 3,
        dropout: float = .1,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.query = nn.Embedding(num_classes, embed_dim)
        self.class_head = initialise_linear(nn.Linear(embed_dim, num_classes + 1))
        self.projections = nn.ModuleList(LevelProjection(channels, embed_dim)
                                         for channels in reversed(backbone.out_channels))
        self.stages = nn.ModuleList(
            nn.ModuleList(AttentionToMask(embed_dim, num_heads, dropout) for _ in range(num_layers))
            for _ in backbone.out_channels)

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        maps = self.backbone(images)
        queries = self.query.weight.expand(images.shape[0], -1, -1)
        read, similarities = [], []
        for x, project, layers in zip(reversed(maps), self.projections, self.stages, strict=True):
            memory = project(x.flatten(2).transpose(1, 2))
            for layer in layers:
                queries, similarity = layer(queries, memory)
            read.append(queries)
            similarities.append(similarity.unflatten(2, x.shape[-2:]))
        masks = accumulate(at_finest(similarities, self.backbone.strides[::-1]))
        first = 0 if self.training else -1
        return predictions_of(list(masks)[first:], read[first:], self.class_head)


def predictions_of(masks: Sequence[Tensor], queries: Sequence[Tensor], class_head: nn.Module) -> list[MaskPrediction]:
    """Masks and the queries (B, Q, D) that gave them, stage by stage, with the classes of the queries."""
    return [MaskPrediction(*stage) for stage in zip(masks, class_head(torch.stack(list(queries))), strict=True)]


class LevelProjection(nn.Module):
    """Features of a backbone at the width of the decoder, normalised: (B, N, C) to (B, N, D)."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.linear, self.norm = initialise_linear(nn.Linear(channels, embed_dim)), nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


class AttentionToMask(nn.Module):
    """A decoder layer that also tells how similar each query is to each place it reads."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.) -> None:
        super().__init__()
        self.self_attention = SelfAttention(dim, num_heads, dropout)
        self.cross_attention = SimilarityAttention(dim, num_heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, 4 * dim, dropout)
        for name, module in self.named_modules():
            # The authors' code leaves self-attention's projections as PyTorch draws them.
            if isinstance(module, nn.Linear) and name not in _SELF_PROJECTIONS:
                initialise_linear(module)

    def forward(self, queries: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Let queries (B, Q, D) read places (B, N, D); also gives their similarities (B, Q, N)."""
        queries = self.self_attention(queries, queries.new_zeros(()))  # without positions
        read, similarity = self.cross_attention(queries, memory)
        return self.feed_forward(self.norm(queries + self.dropout(read))), similarity


class SimilarityAttention(Attention):
    """Attention that also gives the scaled dot products of its queries and keys, averaged over heads."""

    def forward(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.q_proj(query), self.k_proj(memory), self.v_proj(memory)
        # The mean over heads of products within heads is the product over all channels.
        scale = (q.shape[-1] // self.num_heads)**-.5 / self.num_heads
        similarity = q * scale @ k.transpose(1, 2)
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), similarity


def initialise_linear(linear: nn.Linear) -> nn.Linear:
    """Initialise as the authors' code does: normal with a deviation of 0.02, no bias."""
    trunc_normal_(linear.weight, std=.02)
    nn.init.zeros_(linear.bias)
    return linear
