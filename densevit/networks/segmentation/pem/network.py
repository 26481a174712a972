"""PEM: Prototype-based Efficient MaskFormer for Image Segmentation (arXiv:2402.19422)."""
from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ....layers import SyncBatchNorm, resize_bilinear, sine_positions
from ....layers.attention import Attention
from ....layers.levels import flatten_levels
from ...pyramids import require_pyramid
from ..base import MaskNetwork
from ..mask2former import attention_mask
from ..mask_types import MaskPrediction
from ..pixel_decoder import NUM_LEVELS, PixelFeatures
from .pixel_decoder import PEMPixelDecoder


class LocalTokens(nn.Module):
    """A map as tokens that know their neighbourhood: batch norm, depthwise 3x3 convolution, linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = SyncBatchNorm(dim)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Turn a map (B, D, h, w) into tokens (B, h * w, D)."""
        return self.proj(flatten_levels([self.conv(self.norm(x))]))


class PrototypeAttention(nn.Module):
    """Prototype-based masked cross-attention (section 3.2).

    In each head a query takes the one token within its mask that is most similar to it, its prototype. Query and
    prototype are multiplied, projected, normalised over the queries, as in the authors' code, scaled and added to the
    prototype.

    Args:
        dim: Width of queries and map.
        num_heads: Heads; each query has a prototype in each.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.tokens = LocalTokens(dim)
        self.query = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))
        self.modulation, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, queries: Tensor, positions: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Let queries (B, Q, D) read a map (B, D, h, w) where the mask (B, 1, Q, h * w) is True."""
        tokens = F.normalize(self.tokens(memory), dim=-1)
        placed = F.normalize(self.query(queries + positions), dim=-1)
        prototypes = self._prototypes(tokens, placed, mask)
        modulated = F.normalize(self.modulation(prototypes * placed), dim=1) * self.scale
        return queries + self.out(modulated + prototypes)

    def _prototypes(self, tokens: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, D): for each query and head, the chosen token; the first of all where the mask is empty."""
        tokens, queries = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (tokens, queries))
        similarity = queries @ tokens.transpose(2, 3)  # (B, heads, Q, N)
        chosen = similarity.masked_fill(~mask, -torch.inf).argmax(-1, keepdim=True)
        return tokens.gather(2, chosen.expand(-1, -1, -1, tokens.shape[-1])).transpose(1, 2).flatten(2)


class PEMLayer(nn.Module):
    """Prototype attention to a map, self-attention, feed-forward, each with a norm before it.

    Args:
        dim: Width of the queries and the map.
        num_heads: Heads of both attentions.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.cross_attn = PrototypeAttention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.self_attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ffn = Mlp(dim, ffn_dim, act_layer=nn.ReLU)

    def forward(self, queries: Tensor, positions: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Let queries read a map; the arguments are those of :class:`PrototypeAttention`."""
        queries = self.cross_attn(queries, positions, memory, mask)
        normed = self.norm1(queries)
        queries = queries + self.self_attn(normed + positions, normed + positions, normed)
        return queries + self.ffn(self.norm2(queries))


class PEM(MaskNetwork):
    """PEM: (B, 3, H, W) normalised images to mask logits of stride 4 and class logits.

    Mask2Former with a convolutional pixel decoder, and with attention to one prototype for each query in the place of
    attention to all pixels. The loss is Mask2Former's.

    Args:
        backbone: Maps of strides 4, 8, 16 and 32.
        num_classes: C; the class head has C + 1 outputs.
        num_queries: Q.
        embed_dim: Width of the queries, a multiple of 4 and of the heads.
        num_heads: Heads of every attention.
        decoder_layers, ffn_dim: Layers that the queries pass, over strides 32, 16, 8, 32, ..., and the hidden width of
            their feed-forward.
        pixel_dim: Width of the pixel decoder.
        mask_dim: Width of the mask features.
        empty_masks: What a query reads whose predicted mask is empty: ``'everywhere'`` as in Mask2Former; ``'first'``
            the first token of the map, unless all queries of the image have empty masks, as the authors' code does:
            for weights trained with it.

    Raises:
        ValueError: The backbone gives other strides; an unknown ``empty_masks``; heads that do not divide the width.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        num_queries: int = 100,
        embed_dim: int = 256,
        num_heads: int = 8,
        decoder_layers: int = 6,
        ffn_dim: int = 2048,
        pixel_dim: int = 128,
        mask_dim: int = 256,
        empty_masks: Literal['everywhere', 'first'] = 'everywhere',
    ) -> None:
        super().__init__(backbone, num_classes)
        require_pyramid(backbone, (4, 8, 16, 32), 'PEM')
        if empty_masks not in ('everywhere', 'first'):
            raise ValueError(f"empty_masks='{empty_masks}': choose 'everywhere' or 'first'")
        self.empty_masks = empty_masks
        self.pixel_decoder = PEMPixelDecoder(backbone.out_channels, pixel_dim, mask_dim)
        self.project = nn.ModuleList(nn.Conv2d(pixel_dim, embed_dim, 1) for _ in range(NUM_LEVELS))
        for layer in self.project:
            nn.init.kaiming_uniform_(layer.weight, a=1.)
            nn.init.zeros_(layer.bias)
        self.level_embed = nn.Embedding(NUM_LEVELS, embed_dim)
        self.query, self.query_pos = nn.Embedding(num_queries, embed_dim), nn.Embedding(num_queries, embed_dim)
        self.layers = nn.ModuleList(PEMLayer(embed_dim, num_heads, ffn_dim) for _ in range(decoder_layers))
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
        memories = [self._memory(level, x) for level, x in enumerate(features.levels)]
        queries = self.query.weight.expand(features.mask_features.shape[0], -1, -1)
        predictions = [self._predict(queries, features.mask_features)]
        for index, layer in enumerate(self.layers):
            memory = memories[index % NUM_LEVELS]
            mask = self._mask(predictions[-1].masks, tuple(memory.shape[-2:]))
            queries = layer(queries, self.query_pos.weight, memory, mask)
            predictions.append(self._predict(queries, features.mask_features))
        return predictions

    def _memory(self, level: int, x: Tensor) -> Tensor:
        """A map with its level and positions, (B, D, h, w)."""
        x = self.project[level](x) + self.level_embed.weight[level, :, None, None]
        return x + sine_positions(tuple(x.shape[-2:]), x.shape[1], x.device).to(x.dtype)

    def _mask(self, masks: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, 1, Q, h * w), True where a query may find its prototype."""
        if self.empty_masks == 'everywhere':
            return attention_mask(masks, grid)
        inside = resize_bilinear(masks.detach(), grid).flatten(2) >= 0
        return (inside | ~inside.any((1, 2), keepdim=True)).unsqueeze(1)

    def _predict(self, queries: Tensor, mask_features: Tensor) -> MaskPrediction:
        queries = self.norm(queries)
        masks = torch.einsum('bqd,bdhw->bqhw', self.mask_head(queries), mask_features)
        return MaskPrediction(masks, self.class_head(queries))
