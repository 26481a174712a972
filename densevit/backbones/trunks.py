"""How each timm family of plain ViTs embeds an image and runs a block.

A trunk is used as timm built it, under its own parameter names. Everything dense tasks add (any image size, extra
tokens, attention masks, feature taps) happens between blocks, on a :class:`Tokens`.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from timm.layers import HybridEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn

from ..layers import resize_pos_embed


@dataclass(frozen=True)
class Tokens:
    """A token sequence and what is needed to read it as a feature map.

    Attributes:
        x: (B, num_prefix + h * w, D): prefix tokens, then patches in row-major order.
        grid: (h, w) in patches.
        num_prefix: Tokens ahead of the patches: queries, class and register tokens.
        rope: Rotary embedding of the rotated tokens, (..., N, 2 * head_dim), sines then cosines; None without.
        stem: Feature maps of a convolutional stem, finest first; empty for a patch embedding.
    """
    x: Tensor
    grid: tuple[int, int]
    num_prefix: int = 0
    rope: Tensor | None = None
    stem: tuple[Tensor, ...] = ()

    @property
    def patches(self) -> Tensor:
        """(B, h * w, D)."""
        return self.x[:, self.num_prefix:]

    def with_patches(self, patches: Tensor) -> Tokens:
        """The same prefix with other patches (B, h * w, D)."""
        return replace(self, x=torch.cat((self.x[:, :self.num_prefix], patches), dim=1))

    def feature_map(self) -> Tensor:
        """The patches as (B, D, h, w)."""
        return self.patches.transpose(1, 2).unflatten(2, self.grid)

    def prepend(self, queries: Tensor) -> Tokens:
        """The sequence with (Q, D) queries at its front, the same for every image; they are never rotated."""
        x = torch.cat((queries.expand(len(self.x), -1, -1), self.x), dim=1)
        rope = self.rope
        if rope is not None:
            # Attention skips as many leading tokens as the trunk has prefix tokens, so the rest of the longer prefix
            # is rotated by an angle of zero.
            still = rope.new_zeros(*rope.shape[:-2], len(queries), rope.shape[-1])
            still[..., rope.shape[-1] // 2:] = 1.
            rope = torch.cat((still, rope), dim=-2)
        return replace(self, x=x, num_prefix=self.num_prefix + len(queries), rope=rope)


class SequenceTrunk:
    """timm's ``VisionTransformer`` (AugReg, DeiT III, MAE, DINOv2, SigLIP ...) and ``Eva`` (EVA-02, DINOv3, PE)."""
    takes_extra_tokens = True

    def __init__(self, trunk: VisionTransformer | Eva, antialias: bool, interpolate_offset: float) -> None:
        self.trunk = trunk
        self.pos_embed_options = dict(antialias=antialias, interpolate_offset=interpolate_offset)

    def embed(self, images: Tensor) -> Tokens:
        patches, stem = embed_patches(self.trunk.patch_embed, images)
        grid = tuple(patches.shape[1:3])
        pos_embed = self._pos_embed(grid)
        x = patches.flatten(1, 2)
        prefix = [token.expand(len(x), -1, -1) for token in (self.trunk.cls_token, self.trunk.reg_token)
                  if token is not None]
        if pos_embed is not None and self.trunk.no_embed_class:
            x = x + pos_embed
        x = torch.cat((*prefix, x), dim=1)
        if pos_embed is not None and not self.trunk.no_embed_class:
            x = x + pos_embed
        x = self.trunk.norm_pre(self.trunk.pos_drop(x))
        return Tokens(x, grid, self.trunk.num_prefix_tokens, self._rope(grid), stem)

    def _pos_embed(self, grid: tuple[int, int]) -> Tensor | None:
        if self.trunk.pos_embed is None:
            return None
        prefix = 0 if self.trunk.no_embed_class else self.trunk.num_prefix_tokens
        old_grid = self.trunk.patch_embed.grid_size
        return resize_pos_embed(self.trunk.pos_embed, grid, old_grid, prefix, **self.pos_embed_options)

    def _rope(self, grid: tuple[int, int]) -> Tensor | None:
        rope = getattr(self.trunk, 'rope', None)
        return None if rope is None else rope.get_embed(shape=list(grid))

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tensor:
        block = self.trunk.blocks[index]
        if tokens.rope is None:
            return block(tokens.x, attn_mask=attn_mask)
        # A mixed rotary embedding is learned per block: (depth, heads, N, 2 * head_dim).
        rope = tokens.rope[index] if getattr(self.trunk, 'rope_mixed', False) else tokens.rope
        return block(tokens.x, rope=rope, attn_mask=attn_mask)


class WindowedGridTrunk:
    """timm's ``VisionTransformerSAM``: blocks on (B, h, w, D) with windows and relative positions of their own."""
    takes_extra_tokens = False

    def __init__(self, trunk: VisionTransformerSAM, antialias: bool, interpolate_offset: float) -> None:
        self.trunk = trunk
        self.pos_embed_options = dict(antialias=antialias, interpolate_offset=interpolate_offset)

    def embed(self, images: Tensor) -> Tokens:
        x, stem = embed_patches(self.trunk.patch_embed, images)
        grid = tuple(x.shape[1:3])
        x = x.flatten(1, 2)
        if self.trunk.pos_embed is not None:
            pos_embed = self.trunk.pos_embed
            x = x + resize_pos_embed(
                pos_embed.flatten(1, 2), grid, tuple(pos_embed.shape[1:3]), **self.pos_embed_options)
        return Tokens(self.trunk.norm_pre(self.trunk.pos_drop(x)), grid, stem=stem)

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tensor:
        if tokens.num_prefix or attn_mask is not None:
            raise ValueError('a SAM trunk attends within windows of the image grid and takes neither extra tokens nor '
                             'an attention mask; choose a trunk of the VisionTransformer or Eva family')
        return self.trunk.blocks[index](tokens.x.unflatten(1, tokens.grid)).flatten(1, 2)


def embed_patches(patch_embed: nn.Module, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(B, 3, H, W) images to (B, h, w, D) patches and the maps of a convolutional stem, if there is one."""
    if isinstance(patch_embed, HybridEmbed):
        maps = patch_embed.backbone(images.contiguous(memory_format=torch.channels_last))
        maps = (maps, ) if isinstance(maps, Tensor) else tuple(maps)
        return patch_embed.proj(maps[-1]).permute(0, 2, 3, 1), maps
    return patch_embed(images), ()


def drive(trunk: nn.Module, antialias: bool, interpolate_offset: float) -> SequenceTrunk | WindowedGridTrunk:
    """The driver of a timm trunk.

    Raises:
        TypeError: The model is not a plain ViT of a family known here.
    """
    if isinstance(trunk, VisionTransformer | Eva):
        return SequenceTrunk(trunk, antialias, interpolate_offset)
    if isinstance(trunk, VisionTransformerSAM):
        return WindowedGridTrunk(trunk, antialias, interpolate_offset)
    raise TypeError(f'{type(trunk).__name__} is not a plain ViT of the VisionTransformer, Eva or VisionTransformerSAM '
                    'family of timm')
