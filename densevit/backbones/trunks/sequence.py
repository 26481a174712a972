"""Trunks on token sequences with positions at the input: AugReg, DeiT III, MAE, DINOv2, SigLIP, EVA-02, DINOv3, PE."""
from __future__ import annotations

import torch
from timm.layers import HybridEmbed, PatchEmbed
from timm.models.eva import Eva
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .policies import PositionPolicy, WindowPolicy
from .positions import positions_at, rotary_at
from .tokens import Tokens
from .windowed_attention import make_windowed

MASKED_WINDOWS = ('a windowed block takes no attn_mask, for its tokens are rearranged; give the blocks that need one '
                  'to global_blocks')


class SequenceTrunk:
    """timm's ``VisionTransformer`` (AugReg, DeiT III, MAE, DINOv2, SigLIP ...) and ``Eva`` (EVA-02, DINOv3, PE)."""

    def __init__(self, trunk: VisionTransformer | Eva, windows: WindowPolicy, positions: PositionPolicy) -> None:
        self.trunk = trunk
        self.windows = windows
        self.positions = positions
        self.pos_embed_options = positions.resize_options
        self._prepare_windows()

    def _prepare_windows(self) -> None:
        for index in self.windows.windowed:
            make_windowed(self.trunk.blocks[index], self.windows.pad_mode == 'official')

    def embed(self, images: Tensor) -> Tokens:
        patches, stem = embed_patches(self.trunk.patch_embed, images)
        grid = tuple(patches.shape[1:3])
        pos_embed = positions_at(self.trunk, grid, self.positions)
        x = patches.flatten(1, 2)
        # BEiT has no registers, no norm before its blocks, and a position for its class token.
        no_embed_class = getattr(self.trunk, 'no_embed_class', False)
        tokens = (self.trunk.cls_token, getattr(self.trunk, 'reg_token', None))
        prefix = [token.expand(x.shape[0], -1, -1) for token in tokens if token is not None]
        if pos_embed is not None and no_embed_class:
            x = x + pos_embed
        x = torch.cat((*prefix, x), dim=1)
        if pos_embed is not None and not no_embed_class:
            x = x + pos_embed
        x = self.trunk.pos_drop(x)
        if hasattr(self.trunk, 'norm_pre'):
            x = self.trunk.norm_pre(x)
        if self.windows.num_own:  # each window begins with the same tokens
            own = self.trunk.num_prefix_tokens
            x = torch.cat((x[:, :own].repeat(1, self.windows.num_own // own, 1), x[:, own:]), dim=1)
        sides = self.windows.sides(grid)
        window_rope = None if sides is None else rotary_at(self.trunk, sides)
        num_prefix = self.windows.num_own or self.trunk.num_prefix_tokens
        return Tokens(x, grid, num_prefix, rotary_at(self.trunk, grid), stem, window_rope)

    def run_block(self, index: int, tokens: Tokens, attn_mask: Tensor | None) -> Tensor:
        block = self.trunk.blocks[index]
        windows, rope = self.windows.windows(index, tokens), tokens.rope
        if windows is not None:
            if attn_mask is not None:
                raise ValueError(MASKED_WINDOWS)
            attn_mask, rope = windows, tokens.window_rope
        if rope is None:
            return block(tokens.x, attn_mask=attn_mask)
        # A mixed rotary embedding is learned per block: (depth, heads, N, 2 * head_dim).
        rope = rope[index] if getattr(self.trunk, 'rope_mixed', False) else rope
        return block(tokens.x, rope=rope, attn_mask=attn_mask)


def embed_patches(patch_embed: nn.Module, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Embed images (B, 3, H, W) as patches (B, h, w, D); also gives the maps of a stem, if there is one."""
    if isinstance(patch_embed, HybridEmbed):
        images = images.contiguous(memory_format=torch.channels_last)
        if isinstance(patch_embed.backbone, ResNetV2):  # whose forward gives the last map alone
            last, maps = patch_embed.backbone.forward_intermediates(images)
            maps = (*maps[:-1], last)
        else:
            maps = patch_embed.backbone(images)
            maps = (maps, ) if isinstance(maps, Tensor) else tuple(maps)
        return patch_embed.proj(maps[-1]).permute(0, 2, 3, 1), maps
    if type(patch_embed) is PatchEmbed:
        # As its forward does, but for checks whose messages hold the size: torch.compile would keep each size apart.
        return patch_embed.norm(patch_embed.proj(images).permute(0, 2, 3, 1)), ()
    return patch_embed(images), ()
