"""MaskFormer: Per-Pixel Classification is Not All You Need for Semantic Segmentation (arXiv:2107.06278)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers.attention import CrossAttention, FeedForward, SelfAttention
from ...layers.levels import tokens_with_positions
from ..pyramids import require_pyramid
from .base import MaskNetwork
from .mask_types import MaskPrediction
from .maskformer_loss import MaskFormerLoss

_NUM_GROUPS = 32


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer of DETR's encoder (arXiv:2005.12872)."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, num_heads, dropout)
        self.ffn = FeedForward(dim, ffn_dim, dropout)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Let tokens (B, N, D) attend to each other."""
        return self.ffn(self.self_attn(x, positions))


class DecoderLayer(nn.Module):
    """Self-attention of queries, cross-attention to a memory and a feed-forward layer of DETR's decoder."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, num_heads, dropout)
        self.cross_attn = CrossAttention(dim, num_heads, dropout)
        self.ffn = FeedForward(dim, ffn_dim, dropout)

    def forward(self, queries: Tensor, positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        """Let queries (B, Q, D) read a memory (B, N, D)."""
        queries = self.self_attn(queries, positions)
        return self.ffn(self.cross_attn(queries, positions, memory, memory_positions))


class FPNPixelDecoder(nn.Module):
    """A feature pyramid network down to stride 4 (section 4.2), behind a transformer encoder of stride 32 if wanted.

    Args:
        in_channels: Widths of the maps of strides 4, 8, 16 and 32.
        embed_dim: D, a multiple of 32 (GroupNorm).
        mask_dim: Width of the mask features.
        encoder_layers: Layers of the encoder; 0 for none, whereby the queries read the backbone's last map.
        num_heads, ffn_dim, dropout: Heads, hidden width and dropout rate of the encoder's layers.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_dim: int,
        mask_dim: int,
        encoder_layers: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        self.input_proj = nn.Conv2d(coarsest, embed_dim, 1) if encoder_layers else None
        self.encoder = nn.ModuleList(
            EncoderLayer(embed_dim, num_heads, ffn_dim, dropout) for _ in range(encoder_layers))
        self.stem = _output(embed_dim if encoder_layers else coarsest, embed_dim)
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, embed_dim, 1, bias=False), nn.GroupNorm(_NUM_GROUPS, embed_dim))
            for width in reversed(finer))
        self.output = nn.ModuleList(_output(embed_dim, embed_dim) for _ in finer)
        self.mask_features = nn.Conv2d(embed_dim, mask_dim, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps of strides 4 to 32 to what the queries read, of stride 32, and mask features of stride 4."""
        # GroupNorm on a CPU is a thousand times less exact where channels are the innermost dimension.
        *finer, coarsest = (x.contiguous() for x in maps)
        memory = self._encode(coarsest)
        x = self.stem(memory)
        for lateral, output, finer_map in zip(self.lateral, self.output, reversed(finer), strict=True):
            side = lateral(finer_map)
            x = output(side + F.interpolate(x, side.shape[-2:], mode='nearest'))
        return memory, self.mask_features(x)

    def _encode(self, x: Tensor) -> Tensor:
        if self.input_proj is None:
            return x
        x = self.input_proj(x)
        tokens, positions = tokens_with_positions(x)
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        return tokens.transpose(1, 2).unflatten(2, x.shape[-2:])


class MaskFormerNet(MaskNetwork):
    """MaskFormer: (B, 3, H, W) normalised images to mask logits of stride 4 and class logits.

    Learned queries read the map of stride 32 through DETR's decoder; their products with the pixel decoder's map of
    stride 4 are the masks. A prediction follows each decoder layer.

    Args:
        backbone: Maps of strides 4, 8, 16 and 32.
        num_classes: C; the class head has C + 1 outputs.
        num_queries: Q.
        embed_dim: Width of the pixel decoder and the queries, a multiple of 32.
        num_heads: Heads of every attention.
        encoder_layers: Layers of a transformer encoder on the map of stride 32; the authors have 6 for panoptics with
            ResNets, and none otherwise.
        decoder_layers: Layers that the queries pass.
        ffn_dim: Hidden width of the feed-forward layers.
        mask_dim: Width of the mask features.
        dropout: Rate in encoder and decoder.

    Raises:
        ValueError: The backbone is no such pyramid; the width is no multiple of 32.
    """
    loss_class = MaskFormerLoss

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        num_queries: int = 100,
        embed_dim: int = 256,
        num_heads: int = 8,
        encoder_layers: int = 0,
        decoder_layers: int = 6,
        ffn_dim: int = 2048,
        mask_dim: int = 256,
        dropout: float = .1,
    ) -> None:
        super().__init__(backbone, num_classes)
        require_pyramid(backbone, (4, 8, 16, 32), 'MaskFormerNet')
        if embed_dim % _NUM_GROUPS:
            raise ValueError(f'embed_dim={embed_dim}: choose a multiple of {_NUM_GROUPS}, the groups of GroupNorm')
        self.pixel_decoder = FPNPixelDecoder(
            backbone.out_channels, embed_dim, mask_dim, encoder_layers, num_heads, ffn_dim, dropout)
        width = embed_dim if encoder_layers else backbone.out_channels[-1]
        self.input_proj = nn.Conv2d(width, embed_dim, 1) if width != embed_dim else nn.Identity()
        self.query_pos = nn.Embedding(num_queries, embed_dim)
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dim, num_heads, ffn_dim, dropout) for _ in range(decoder_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.class_head = nn.Linear(embed_dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, embed_dim), nn.ReLU(),
            nn.Linear(embed_dim, mask_dim))

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        """One prediction after each decoder layer."""
        memory, mask_features = self.pixel_decoder(self.backbone(images))
        memory, positions = tokens_with_positions(self.input_proj(memory))
        query_pos = self.query_pos.weight
        queries = torch.zeros_like(query_pos).expand(images.shape[0], -1, -1)
        predictions = []
        for layer in self.layers:
            queries = layer(queries, query_pos, memory, positions)
            normed = self.norm(queries)
            masks = torch.einsum('bqd,bdhw->bqhw', self.mask_head(normed), mask_features)
            predictions.append(MaskPrediction(masks, self.class_head(normed)))
        return predictions


def _output(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.GroupNorm(_NUM_GROUPS, out_channels),
        nn.ReLU())
