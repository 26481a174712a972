"""Depth by clusters of pixels: PolyMaX (arXiv:2311.05770), and bins that adapt to the image (arXiv:2011.14141)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers.attention import CrossAttention, FeedForward, SelfAttention
from ...layers.sine_positions import sine_positions
from ..dpt_decoder import DPTDecoder, Readout, read_levels, readout_of
from .base import DepthNetwork
from .outputs import mix
from .prediction import DepthPrediction

Centres = Literal['free', 'ordered']
_NUM_READ = 3  # fused maps that queries read in turn, coarsest first


class PolyMaXDepth(DepthNetwork):
    """Queries, each with a depth of its own, share the pixels among them; the depth of a pixel is their mean.

    A pixel x with features f(x) belongs to query k with p_k(x) = softmax_k(f(x) . q_k), and has the depth
    sum_k p_k(x) c_k (PolyMaX, section 3.2: mask transformers for continuous outputs). The paper's pixel and transformer
    decoders are kMaX-DeepLab's; here DPT's fused maps are the pixels and DETR's layers move the queries, so that any
    backbone of four maps serves.

    Args:
        backbone: Gives four maps: ``out_indices`` of a plain ViT, or a pyramid.
        num_queries: N.
        channels, width, readout: See :class:`densevit.networks.dpt_decoder.DPTDecoder`.
        embed_dim: Width of the queries; a multiple of 4.
        num_layers: Decoder layers; they read the three coarsest fused maps in turn.
        num_heads, ffn_dim: Of each layer.
        centres: What the queries say of depth. ``'free'``: each its own, a share of the range (PolyMaX). ``'ordered'``:
            the width of a bin; the widths b_k, which sum to 1, fill the range one behind the other, and
            c_k = min + (max - min) (b_k / 2 + b_1 + ... + b_{k-1}) (AdaBins, equation 2, whose widths a relu makes;
            here a softmax, so that none is lost; queries for them as in BinsFormer, arXiv:2204.00987).
        min_depth, max_depth: The range in metres.

    Raises:
        ValueError: The backbone does not give four maps, or options do not go together.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_queries: int = 64,
        channels: Sequence[int] | None = (96, 192, 384, 768),
        width: int = 256,
        readout: Readout | None = None,
        embed_dim: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        ffn_dim: int = 1024,
        centres: Centres = 'free',
        min_depth: float = 1e-3,
        max_depth: float | None = None,
    ) -> None:
        if centres not in ('free', 'ordered'):
            raise ValueError(f"centres='{centres}': choose 'free' or 'ordered'")
        if max_depth is None or not 0 <= min_depth < max_depth:
            raise ValueError(f'depths lie between min_depth={min_depth} and max_depth={max_depth}: set both, in metres')
        super().__init__(backbone, min_depth=min_depth, max_depth=max_depth)
        self.centres, self.embed_dim = centres, embed_dim
        self.decoder = DPTDecoder(backbone.out_channels, backbone.strides, channels, width,
                                  readout_of(backbone, readout))
        self.queries, self.query_positions = (nn.Embedding(num_queries, embed_dim) for _ in range(2))
        self.memory = nn.ModuleList(nn.Conv2d(width, embed_dim, 1) for _ in range(min(num_layers, _NUM_READ)))
        self.layers = nn.ModuleList(_Layer(embed_dim, num_heads, ffn_dim) for _ in range(num_layers))
        self.pixels = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, embed_dim, 1))
        self.cluster_head = nn.Linear(embed_dim, embed_dim, bias=False)  # which all queries would have in common
        self.depth_head = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, 1))

    def forward(self, images: Tensor) -> DepthPrediction:
        """Depth (B, h, w) of (B, 3, H, W), at the size of the last fused map."""
        fused = self.decoder(*read_levels(self.backbone, self.decoder.readout, images))
        maps = [project(x) for project, x in zip(self.memory, fused, strict=False)]
        memories = [x.flatten(2).transpose(1, 2) for x in maps]
        positions = [sine_positions(x.shape[-2:], self.embed_dim, x.device).flatten(2).transpose(1, 2).to(x.dtype)
                     for x in maps]
        queries = self.queries.weight.expand(images.shape[0], -1, -1)
        for index, layer in enumerate(self.layers):
            read = index % len(memories)
            queries = layer(queries, self.query_positions.weight, memories[read], positions[read])
        logits = torch.einsum('bdhw,bnd->bnhw', self.pixels(fused[-1]), self.cluster_head(queries))
        logits = logits.float() * self.embed_dim**-.5
        centres = self._centres(self.depth_head(queries).squeeze(2).float())
        return self.answer(mix(logits.softmax(1), centres))

    def _centres(self, x: Tensor) -> Tensor:
        """Depths (B, N) in metres of what the queries say, (B, N)."""
        if self.centres == 'free':
            share = x.sigmoid()
        else:
            widths = x.softmax(1)
            share = widths.cumsum(1) - widths / 2
        return self.min_depth + (self.max_depth - self.min_depth) * share


class _Layer(nn.Module):
    """Queries read a map, attend to each other, and are transformed."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(dim, num_heads)
        self.self_attn = SelfAttention(dim, num_heads)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(self, x: Tensor, positions: Tensor, memory: Tensor, memory_positions: Tensor) -> Tensor:
        x = self.cross_attn(x, positions, memory, memory_positions)
        return self.ffn(self.self_attn(x, positions))
