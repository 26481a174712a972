"""The pixel decoder of Mask2Former (arXiv:2112.01527, section 3.2.1 and appendix): multi-scale deformable attention."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...layers import resize_bilinear
from ...layers.levels import split_levels
from ..deformable_encoder import DeformableEncoderLayer, LevelTokens, level_tokens, run_encoder

NUM_LEVELS = 3
_NUM_GROUPS = 32


class PixelFeatures(NamedTuple):
    """The output of a pixel decoder.

    Attributes:
        levels: Maps (B, D, h, w) of strides 32, 16 and 8, in this order.
        mask_features: (B, D_m, H / 4, W / 4), whose products with queries are mask logits.
    """
    levels: list[Tensor]
    mask_features: Tensor


class DeformablePixelDecoder(nn.Module):
    """Maps of strides 4, 8, 16 and 32 exchange what they know.

    The three coarse maps pass an encoder of deformable attention; the one of stride 8, upscaled, joins the map of
    stride 4 as in an FPN. Under autocast it stays in single precision, as its authors train it.

    Args:
        in_channels: Widths of the four maps, finest first.
        embed_dim: D, a multiple of 32 (GroupNorm).
        num_heads: Heads of the encoder.
        num_layers: Layers of the encoder.
        ffn_dim: Hidden width of its feed-forward layers.
        mask_dim: D_m, width of the mask features.
        num_points: Points that a head samples on each level.

    Raises:
        ValueError: If D is no multiple of 32.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_dim: int = 256,
        num_heads: int = 8,
        num_layers: int = 6,
        ffn_dim: int = 1024,
        mask_dim: int = 256,
        num_points: int = 4,
    ) -> None:
        super().__init__()
        if embed_dim % _NUM_GROUPS:
            raise ValueError(f'embed_dim={embed_dim}: choose a multiple of {_NUM_GROUPS}, the groups of GroupNorm')
        finest, *coarse = in_channels
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, embed_dim, 1), nn.GroupNorm(_NUM_GROUPS, embed_dim))
            for width in reversed(coarse))
        self.level_embed = nn.Parameter(torch.randn(NUM_LEVELS, embed_dim))
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(embed_dim, num_heads, NUM_LEVELS, num_points, ffn_dim) for _ in range(num_layers))
        self.lateral = nn.Sequential(
            nn.Conv2d(finest, embed_dim, 1, bias=False), nn.GroupNorm(_NUM_GROUPS, embed_dim))
        self.output = nn.Sequential(
            nn.Conv2d(embed_dim, embed_dim, 3, padding=1, bias=False), nn.GroupNorm(_NUM_GROUPS, embed_dim), nn.ReLU())
        self.mask_features = nn.Conv2d(embed_dim, mask_dim, 1)
        self._init_weights()

    def _init_weights(self) -> None:
        for projection in self.input_proj:
            nn.init.xavier_uniform_(projection[0].weight)
            nn.init.zeros_(projection[0].bias)
        for conv in (self.lateral[0], self.output[0], self.mask_features):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        nn.init.zeros_(self.mask_features.bias)

    def forward(self, maps: Sequence[Tensor]) -> PixelFeatures:
        """Maps (B, C_i, H / s_i, W / s_i) of strides 4, 8, 16 and 32 to features."""
        with torch.autocast(maps[0].device.type, enabled=False):
            maps = self.prepare(maps)
            tokens = self.embed(maps)
            return self.decode(self.encode(tokens, 0, len(self.layers)), maps[0])

    def prepare(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Bring maps to the precision and memory layout that the other steps need."""
        # GroupNorm on a CPU is a thousand times less exact where channels are the innermost dimension.
        return [x.to(self.level_embed.dtype).contiguous() for x in maps]

    def embed(self, maps: Sequence[Tensor]) -> LevelTokens:
        """The encoder's tokens of the maps of strides 4 to 32, coarsest first."""
        projected = [projection(x) for projection, x in zip(self.input_proj, reversed(maps), strict=False)]
        return level_tokens(projected, self.level_embed)

    def encode(self, tokens: LevelTokens, start: int, stop: int) -> LevelTokens:
        """Run the encoder's layers from ``start`` up to, not including, ``stop``."""
        return run_encoder(self.layers[start:stop], tokens)

    def decode(self, tokens: LevelTokens, finest: Tensor) -> PixelFeatures:
        """Features of encoded tokens and the map of stride 4."""
        levels = split_levels(tokens.x, tokens.grids)
        lateral = self.lateral(finest)
        fine = self.output(lateral + resize_bilinear(levels[-1], lateral.shape[-2:]))
        return PixelFeatures(levels, self.mask_features(fine))
