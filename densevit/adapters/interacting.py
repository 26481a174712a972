"""The frame of ViT-Adapter and ViT-CoMer: a convolutional pyramid that interacts with a ViT between its blocks."""
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..backbones import PlainViT
from ..backbones.contract import crop_to_strides, pad_to_multiple
from ..backbones.options import Grid, pick_levels
from ..layers import DeformableAttention, SyncBatchNorm, resize_bilinear
from ..layers.levels import flatten_levels, split_levels
from .adapter import Adapter
from .spatial_prior import SpatialPriorModule

Form = Literal['detection', 'segmentation']
_STRIDES = (4, 8, 16, 32)
_MAX_INTERACTIONS = 4
TOKEN_LEVEL = 1  # of the three levels that interact (strides 8, 16, 32), the one with the stride of the ViT


class Interaction(nn.Module):
    """An exchange between a pyramid of tokens and the ViT, before and after some of its blocks.

    Pyramids are (B, N, D) on three grids, patches (B, h * w, D) on one.
    """
    grad_checkpointing = False

    def before(self, patches: Tensor, grid: Grid, pyramid: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        """Patches for the blocks to run on, and the pyramid."""
        raise NotImplementedError

    def after(self, pyramid: Tensor, grids: Sequence[Grid], patches: Tensor, grid: Grid) -> Tensor:
        """The pyramid, which has read the patches that the blocks gave."""
        raise NotImplementedError

    def call(self, module: nn.Module, *args: Any) -> Tensor:
        """``module(*args)``, recomputed in the backward pass where that is asked for."""
        if self.grad_checkpointing and self.training:
            return checkpoint(module, *args, use_reentrant=False)
        return module(*args)


class InteractingAdapter(Adapter):
    """(B, 3, H, W) to maps (B, D, ceil(H / s), ceil(W / s)), s = 4, 8, 16, 32 or some of them.

    A subclass fills ``interactions`` with one :class:`Interaction` for each of ``block_ranges`` and calls
    ``reset_parameters``.

    Args:
        vit: The ViT, of stride 16, or its arguments.
        vit_defaults: Further arguments of :class:`Adapter`.
        form: Which features of the ViT are added to the pyramid at the end: its last (``'detection'``) or, to each
            level its own, those after the four interactions (``'segmentation'``).
        interaction_indexes: First and last block of each interaction; four equal parts by default.
        conv_inplane: Channels of the stem of the convolutional branch.
        add_vit_feature: False adds none of the ViT's features.
        out_indices: Which of the four maps are returned, ascending; what the others alone need is not built.
        norm_features: Whether the ViT's final norm is applied to the features that are read from it and added.
        norm_eval: Whether batch norms keep their running statistics in train mode.

    Raises:
        ValueError: The ViT or ``interaction_indexes`` do not fit.
    """
    interactions: nn.ModuleList

    def __init__(
        self,
        vit: PlainViT | dict[str, Any],
        vit_defaults: dict[str, Any],
        *,
        form: Form,
        interaction_indexes: Sequence[Sequence[int]] | None,
        conv_inplane: int,
        add_vit_feature: bool,
        out_indices: int | Sequence[int],
        norm_features: bool,
        norm_eval: bool,
    ) -> None:
        super().__init__(vit, norm_out=norm_features, **vit_defaults)
        name, dim = type(self).__name__, self.vit.embed_dim
        self._check_vit(norm_features)
        if form not in ('detection', 'segmentation'):
            raise ValueError(f"{name} takes form='detection' or 'segmentation', not {form!r}")
        self.block_ranges = block_ranges(interaction_indexes, self.depth)
        if form == 'segmentation' and add_vit_feature and len(self.block_ranges) != len(_STRIDES):
            raise ValueError(f"{name} adds the features after each of 4 interactions to its 4 levels, but there are "
                             f"{len(self.block_ranges)} in interaction_indexes; give 4, or set form='detection'")
        self.form, self.add_vit_feature, self.norm_features = form, add_vit_feature, norm_features
        self.norm_eval = norm_eval
        self.out_indices = pick_levels(out_indices, len(_STRIDES), f'maps 0 to 3 of strides {_STRIDES}')
        self.strides = tuple(_STRIDES[index] for index in self.out_indices)
        self.out_channels = (dim, ) * len(self.strides)
        has_finest = 0 in self.out_indices
        self.level_embed = nn.Parameter(torch.empty(len(_STRIDES) - 1, dim))
        self.spm = SpatialPriorModule(conv_inplane, dim, has_finest)
        self.up = nn.ConvTranspose2d(dim, dim, 2, 2) if has_finest else None
        self.norm1, self.norm2, self.norm3, self.norm4 = (
            SyncBatchNorm(dim) if index in self.out_indices else None for index in range(len(_STRIDES)))

    def _check_vit(self, norm_features: bool) -> None:
        if self.vit.stride != _STRIDES[TOKEN_LEVEL + 1]:
            raise ValueError(f'{type(self).__name__} needs patches of 16 pixels, not {self.vit.stride}; set '
                             'patch_size=16 in vit (patch embeddings are resized when weights are loaded)')
        if self.vit.has_final_norm != norm_features:
            found = 'has a final norm that nothing reads' if self.vit.has_final_norm else 'has no final norm'
            raise ValueError(f'vit {found}; set norm_out={norm_features} in vit')

    def reset_parameters(self) -> None:
        """Initialise all but the ViT."""
        for part in (self.spm, self.interactions, self.up):
            if part is not None:
                part.apply(_initialise)
        for module in self.interactions.modules():
            if isinstance(module, DeformableAttention):
                module.reset_parameters()  # its ring of points, which the normal weights above replaced
        nn.init.normal_(self.level_embed)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to maps (B, D, ceil(H / s), ceil(W / s)) for each of ``strides``."""
        size = tuple(images.shape[-2:])
        images = pad_to_multiple(images, max(_STRIDES))
        finest, *levels = self.spm(images)
        grids = [tuple(level.shape[-2:]) for level in levels]
        pyramid = flatten_levels([x + embed[:, None, None] for x, embed in zip(levels, self.level_embed, strict=True)])
        tokens, features = self.vit.embed(images), []
        for (start, stop), interaction in zip(self.block_ranges, self.interactions, strict=True):
            patches, pyramid = interaction.before(tokens.patches, tokens.grid, pyramid, grids)
            tokens = self.vit.run(tokens.with_patches(patches), start, stop)
            seen = self.vit.norm(tokens) if self.norm_features else tokens
            pyramid = interaction.after(pyramid, grids, seen.patches, seen.grid)
            features.append(seen.feature_map())
        levels = split_levels(pyramid, grids)
        maps = [None if self.up is None else self.up(levels[0]) + finest, *levels]
        if self.form == 'detection':
            features = features[-1:] * len(maps)
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        outs = []
        for index in self.out_indices:
            x = maps[index]
            if self.add_vit_feature:
                x = x + resize_bilinear(features[index], x.shape[-2:])
            outs.append(norms[index](x))
        return crop_to_strides(outs, self.strides, size)


def block_ranges(indexes: Sequence[Sequence[int]] | None, depth: int) -> list[tuple[int, int]]:
    """The first block of each interaction and the one after its last; by default four parts, as equal as can be.

    Raises:
        ValueError: ``indexes`` are not pairs of first and last block that hold each block once, in order.
    """
    if indexes is None:
        bounds = [depth * i // min(_MAX_INTERACTIONS, depth) for i in range(min(_MAX_INTERACTIONS, depth) + 1)]
        return list(pairwise(bounds))
    bounds = [0]
    for pair in indexes if isinstance(indexes, Sequence) else [None]:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and bounds[-1] == pair[0] <= pair[1]):
            break
        bounds.append(pair[1] + 1)
    else:
        if bounds[-1] == depth:
            return list(pairwise(bounds))
    example = [[start, stop - 1] for start, stop in block_ranges(None, depth)]
    raise ValueError(f'interaction_indexes={indexes} are not the first and last blocks of parts of 0 to {depth - 1} '
                     f'that follow each other, as {example} are')


def attention_sizes(embed_dim: int, num_heads: int | None, value_ratio: float | None) -> tuple[int, float]:
    """Heads and value ratio of the deformable attention; where not given, those that the papers use for the width.

    ViT-T and S have 6 heads and values of full width, ViT-B and L heads over 64 channels and values of half the width.
    """
    is_small = embed_dim < 768
    if num_heads is None:
        num_heads = next(n for n in range(6, 0, -1) if embed_dim % n == 0) if is_small else embed_dim // 64
    return num_heads, (1. if is_small else .5) if value_ratio is None else value_ratio


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=.02)
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
