"""Mask2Former: Masked-attention Mask Transformer for Universal Image Segmentation (arXiv:2112.01527)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import resize_bilinear
from ...layers.attention import CrossAttention, FeedForward, SelfAttention
from ...layers.levels import tokens_with_positions
from ..pyramids import require_pyramid
from .base import MaskNetwork
from .mask_types import MaskPrediction
from .pixel_decoder import NUM_LEVELS, DeformablePixelDecoder, PixelFeatures


class MaskedDecoderLayer(nn.Module):
    """Masked attention to a map, self-attention, feed-forward (section 3.2.2): cross-attention comes first.

    Args:
        dim: Width of the queries and the map.
        num_heads: Heads of both attentions.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(dim, num_heads)
        self.self_attn = SelfAttention(dim, num_heads)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(
        self,
        queries: Tensor,
        positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Let queries (B, Q, D) read a memory (B, N, D) where the mask (B, 1, Q, N) is True."""
        queries = self.cross_attn(queries, positions, memory, memory_positions, mask)
        return self.ffn(self.self_attn(queries, positions))


class Mask2FormerNet(MaskNetwork):
    """Mask2Former: (B, 3, H, W) normalised images to mask logits of stride 4 and class logits.

    A pixel decoder refines the maps of the backbone; learned queries then read its maps of strides 32, 16, 8, 32, ...,
    each query only inside the mask that was predicted for it before the layer (eq. 1 and 2), or everywhere if that mask
    is empty.

    Args:
        backbone: Maps of strides 4, 8, 16 and 32.
        num_classes: C; the class head has C + 1 outputs.
        num_queries: Q; the paper uses 100, and 200 with its largest backbone for instances and panoptics.
        embed_dim: Width of the pixel decoder and the queries, a multiple of 32.
        num_heads: Heads of every attention.
        encoder_layers, encoder_ffn_dim: Layers of the pixel decoder, and the hidden width of their feed-forward part.
        decoder_layers, decoder_ffn_dim: Layers that the queries pass; the paper calls its nine "L = 3".
        mask_dim: Width of the mask features.
        num_points: Points that a head of the pixel decoder samples on each level.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        num_queries: int = 100,
        embed_dim: int = 256,
        num_heads: int = 8,
        encoder_layers: int = 6,
        encoder_ffn_dim: int = 1024,
        decoder_layers: int = 9,
        decoder_ffn_dim: int = 2048,
        mask_dim: int = 256,
        num_points: int = 4,
    ) -> None:
        super().__init__(backbone, num_classes)
        require_pyramid(backbone, (4, 8, 16, 32), 'Mask2FormerNet')
        self.pixel_decoder = DeformablePixelDecoder(
            backbone.out_channels, embed_dim, num_heads, encoder_layers, encoder_ffn_dim, mask_dim, num_points)
        self.query, self.query_pos = nn.Embedding(num_queries, embed_dim), nn.Embedding(num_queries, embed_dim)
        self.level_embed = nn.Embedding(NUM_LEVELS, embed_dim)
        self.layers = nn.ModuleList(
            MaskedDecoderLayer(embed_dim, num_heads, decoder_ffn_dim) for _ in range(decoder_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.class_head = nn.Linear(embed_dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, embed_dim), nn.ReLU(),
            nn.Linear(embed_dim, mask_dim))

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        """The prediction of the learned queries themselves, then one after each decoder layer."""
        return self.decode(self.pixel_decoder(self.backbone(images)))

    def decode(self, features: PixelFeatures) -> list[MaskPrediction]:
        """Predictions of the queries before and after each decoder layer, from a pixel decoder's features."""
        memories, positions = self._memories(features.levels)
        grids = [x.shape[-2:] for x in features.levels]
        queries = self.query.weight.expand(features.mask_features.shape[0], -1, -1)
        predictions = [self._predict(queries, features.mask_features)]
        for index, layer in enumerate(self.layers):
            level = index % NUM_LEVELS
            mask = attention_mask(predictions[-1].masks, grids[level])
            queries = layer(queries, self.query_pos.weight, memories[level], positions[level], mask)
            predictions.append(self._predict(queries, features.mask_features))
        return predictions

    def _memories(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Each map and its positions as tokens, (B, N, D) and (1, N, D)."""
        memories, positions = zip(*map(tokens_with_positions, levels), strict=True)
        embedded = [x + embed for x, embed in zip(memories, self.level_embed.weight, strict=True)]
        return embedded, list(positions)

    def _predict(self, queries: Tensor, mask_features: Tensor) -> MaskPrediction:
        queries = self.norm(queries)
        masks = torch.einsum('bqd,bdhw->bqhw', self.mask_head(queries), mask_features)
        return MaskPrediction(masks, self.class_head(queries))


def attention_mask(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """A mask (B, 1, Q, h * w), True where a query may attend: inside its mask, or everywhere if that is empty.

    Args:
        masks: Mask logits (B, Q, H, W).
        grid: (h, w) of the map that is attended to.
    """
    inside = resize_bilinear(masks.detach(), grid).flatten(2) >= 0
    return (inside | ~inside.any(-1, keepdim=True)).unsqueeze(1)
