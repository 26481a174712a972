"""A timm plain ViT as a dense backbone."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from timm.layers import DropPath, HybridEmbed
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers.pos_embed import Kernel
from .contract import Backbone, crop_to_strides, pad_to_multiple
from .options import PosEmbed, as_grid, as_indices, checked_frozen_stages, pick
from .timm_models import near_options
from .trunks import (
    PLAIN_VITS,
    PadMode,
    PositionPolicy,
    Tokens,
    WindowRequest,
    begin_with_sines,
    build_trunk,
    drive,
    drop_prefix,
    prepare_window_positions,
    stem_maps,
    store_positions,
    window_policy,
)


class PlainViT(Backbone):
    """A plain vision transformer, driven block by block: ``embed -> run(blocks i to j) -> norm``.

    The trunk is a timm model under timm's parameter names, by name (``PlainViT('vit_small_patch14_reg4_dinov2')``)
    or from explicit sizes (``PlainViT(embed_dim=192, depth=6, num_heads=3, patch_size=16)``). Images of any size are
    taken: they are zero-padded at the right and bottom to a whole number of patches.

    Args:
        name: A timm model of the VisionTransformer, Eva, Beit or VisionTransformerSAM family; None to build one of
            ``family`` from ``trunk_kwargs``.
        family: Without a name, ``'vit'`` for a VisionTransformer or ``'sam'`` for a VisionTransformerSAM, the trunk of
            ViTDet (with its decomposed relative positions).
        out_indices: Blocks whose outputs ``forward`` returns; negative ones count from the end. Blocks behind the last
            of them are left out.
        norm_out: Whether the final norm is applied to the returned features; False builds the trunk without it.
        keep_prefix: False removes class and register tokens once the weights are there, as ViTDet, ViT-Adapter and
            ViT-CoMer do.
        window_size: Side in tokens of the windows within which blocks attend, padded at the right and bottom
            (ViTDet, arXiv:2203.16527, section 3); None for no windows (and the windows of its own for a SAM trunk),
            0 for none in a SAM trunk either. Class and register tokens are copied to each window and averaged after.
        num_windows: In its place the number of windows along each axis, whatever the image: its height and width are
            divided (LW-DETR, arXiv 2406.03459, section 3.3: 4 by 4).
        prefix_per_window: Every window of ``num_windows`` has class and register tokens of its own from the beginning,
            and global blocks attend to all of them (RF-DETR, arXiv 2511.09554), instead of copies that are averaged.
        global_blocks: Blocks that attend globally although there are windows; negative ones count from the end. With a
            SAM trunk by name, () keeps its own.
        window_shift: Shift the windows of every second windowed block by half a window (Swin, arXiv:2103.14030).
        pad_mode: ``'masked'``: nobody attends to what pads a window. ``'official'``: as in the family's official code;
            a VisionTransformer's pads have queries, keys and values of 0 (ViT-Adapter, ViT-CoMer), those of a SAM trunk
            are zeros before the projection to them (SAM, detectron2's ViTDet). By default official in a SAM trunk,
            whose weights were trained so, and masked elsewhere and where windows are shifted.
        pos_embed: How learned positions are brought to the grid of an image: ``'interpolate'`` stretches them,
            ``'tile'`` repeats those of one window, ``'absolute_window'`` adds stretched global ones to these
            (arXiv:2311.05613), a parameter that starts at zero. The last two need positions of ``window_size``.
        pos_embed_grid: (h, w) or side in tokens of the stored positions where it is not that of ``img_size``.
        global_pos_grid: (h, w) or side of the global positions of ``'absolute_window'``; 7 by default, as in SAM 2.
        pos_embed_antialias, pos_embed_offset, pos_embed_kernel: Options of :func:`densevit.layers.resize_pos_embed`; of
            a BEiT, for its tables of relative positions.
        sine_init: Learned positions begin as the sines and cosines of MAE (arXiv:2111.06377) instead of near zero, so
            that tokens of a ViT that learns from random weights tell where they are from the beginning.
        stem: A network in place of the patch embedding, convolutional or hierarchical, as arguments of
            ``timm.create_model`` (``dict(model_name='resnet18d', out_indices=(1, 2, 3))``) or, for Swin, Hiera and
            others that timm runs at one size, of our backbone; its last map is cut into patches.
        stem_out: Which maps of the stem ``forward`` returns before those of the blocks, finest first, as DPT-Hybrid
            reads a ResNet's first stages (arXiv:2103.13413, section 3.1).
        frozen_stages: -1 trains all, 0 freezes the embedding, k freezes k blocks as well, ``depth`` + 1 the final norm.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations.
        pretrained: Download timm's weights for ``name`` and for the model of ``stem``.
        trunk_kwargs: Passed to the timm model: ``img_size``, ``patch_size``, ``drop_path_rate``, ``embed_dim`` ...

    Attributes:
        out_channels: Channels of each returned map.
        strides: Stride of each returned map in pixels.
        depth: Blocks that there are.
        full_depth: Blocks before those that nothing reads were left out.

    Raises:
        ValueError: Options that do not go together, or that the family does not have; timm has no such model.
        TypeError: The model is of another family, or has no such option.
        OSError: Its weights cannot be downloaded.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        family: Literal['vit', 'sam'] = 'vit',
        out_indices: int | Sequence[int] = (-1, ),
        norm_out: bool = True,
        keep_prefix: bool = True,
        window_size: int | None = None,
        num_windows: int | None = None,
        prefix_per_window: bool = False,
        global_blocks: int | Sequence[int] = (),
        window_shift: bool = False,
        pad_mode: PadMode | None = None,
        pos_embed: PosEmbed = 'interpolate',
        pos_embed_grid: int | tuple[int, int] | None = None,
        global_pos_grid: int | tuple[int, int] | None = None,
        pos_embed_antialias: bool = True,
        pos_embed_offset: float = 0.,
        pos_embed_kernel: Kernel = 'bicubic',
        sine_init: bool = False,
        stem: dict[str, Any] | None = None,
        stem_out: Sequence[int] = (),
        frozen_stages: int = -1,
        grad_checkpointing: bool = False,
        pretrained: bool = False,
        **trunk_kwargs: Any,
    ) -> None:
        super().__init__()
        if sine_init and pretrained:
            raise ValueError('sine_init would replace the positions of the pretrained weights: leave one of them out')
        request = WindowRequest(window_size, as_indices(global_blocks, 'global_blocks'), window_shift, pad_mode,
                                num_windows, prefix_per_window)
        positions = PositionPolicy(pos_embed, pos_embed_antialias, pos_embed_offset, pos_embed_kernel)
        stored_grid = as_grid(pos_embed_grid, 'pos_embed_grid')
        with near_options(PlainViT, *PLAIN_VITS):
            self.trunk = build_trunk(name, family, stem, pretrained, request, stored_grid, trunk_kwargs)
        self.embed_dim: int = self.trunk.embed_dim
        self.full_depth = len(self.trunk.blocks)
        self.out_indices = pick(out_indices, self.full_depth, f'blocks 0 to {self.full_depth - 1}')
        if not self.out_indices:
            raise ValueError('out_indices names no block; (-1,) is the last one')
        self.depth = max(self.out_indices) + 1
        self.stride: int = self.trunk.patch_embed.feat_ratio()
        if not keep_prefix:
            drop_prefix(self.trunk)
        self.num_prefix_tokens: int = getattr(self.trunk, 'num_prefix_tokens', 0)
        if sine_init:
            begin_with_sines(self.trunk)
        if stored_grid is not None:
            store_positions(self.trunk, stored_grid, positions)
        windows = window_policy(self.trunk, request)
        self.num_prefix_tokens = windows.num_own or self.num_prefix_tokens
        prepare_window_positions(self.trunk, positions, windows.size,
                                 as_grid(global_pos_grid, 'global_pos_grid'))
        self.driver = drive(self.trunk, windows, positions)
        self.trunk.blocks = self.trunk.blocks[:self.depth]  # after the windows, which are laid out over all blocks
        if not norm_out:
            self.trunk.norm = nn.Identity()
        self.grad_checkpointing = grad_checkpointing
        channels, strides = stem_maps(self._stem())
        self.stem_out = pick(stem_out, len(strides), f'{len(strides)} maps of a stem',
                             option='stem_out') if stem_out else ()
        self.out_channels = (*(channels[i] for i in self.stem_out), *[self.embed_dim] * len(self.out_indices))
        self.strides = (*(strides[i] for i in self.stem_out), *[self.stride] * len(self.out_indices))
        self.set_frozen_stages(frozen_stages)

    def set_frozen_stages(self, frozen_stages: int) -> None:
        """Freeze what ``frozen_stages`` says; what is frozen already stays so."""
        self.frozen_stages = checked_frozen_stages(frozen_stages, self.depth + 1, 'blocks, then the final norm')
        self.freeze()

    @property
    def windowed_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks that attend within windows, ascending."""
        return tuple(index for index in self.driver.windows.windowed if index < self.depth)

    @property
    def has_class_token(self) -> bool:
        """Whether the first of the prefix tokens is a class token."""
        return getattr(self.trunk, 'cls_token', None) is not None

    @property
    def has_final_norm(self) -> bool:
        """Whether :meth:`norm` has parameters that learn."""
        return any(True for _ in getattr(self.trunk, 'norm', nn.Identity()).parameters())

    @property
    def drop_path_rate(self) -> float:
        """Stochastic depth of the last block, the highest of all."""
        return max((module.drop_prob for module in self.trunk.modules() if isinstance(module, DropPath)), default=0.)

    @property
    def has_stem(self) -> bool:
        """Whether a network stands in the place of the patch embedding."""
        return self._stem() is not None

    @property
    def in_channels(self) -> int:
        """The number of channels of an image: those that the first convolution, of the stem if there is one, sees."""
        return next(x for x in (self._stem() or self.trunk.patch_embed).parameters() if x.dim() == 4).shape[1]

    @property
    def patch_kernel(self) -> tuple[Tensor, Tensor | None]:
        """Weight (D, C, p, p) and bias (D,) of the convolution that makes the patches, of an image or a stem's map."""
        return self.trunk.patch_embed.proj.weight, self.trunk.patch_embed.proj.bias

    @property
    def stem_channels(self) -> tuple[int, ...]:
        """Channels of the stem's maps, finest first; empty without a stem that tells them."""
        return stem_maps(self._stem())[0]

    @property
    def stem_strides(self) -> tuple[int, ...]:
        """Strides in pixels of the stem's maps, finest first."""
        return stem_maps(self._stem())[1]

    def is_of_stem(self, name: str) -> bool:
        """Whether a parameter of this name belongs to the stem."""
        return self._stem() is not None and name.startswith('trunk.patch_embed.backbone.')

    def _stem(self) -> nn.Module | None:
        patch_embed = self.trunk.patch_embed
        return patch_embed.backbone if isinstance(patch_embed, HybridEmbed) else None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to one map (B, D, ceil(H / stride), ceil(W / stride)) for each of ``out_indices``.

        Before them come the maps of the stem that ``stem_out`` names, at their own channels and strides.
        """
        levels = self.levels(images)
        maps = tuple(tokens.feature_map() for tokens in levels)
        if not self.stem_out:
            return maps
        return crop_to_strides([*(levels[0].stem[i] for i in self.stem_out), *maps], self.strides, images.shape[-2:])

    def levels(self, images: Tensor) -> tuple[Tokens, ...]:
        """The maps of ``forward`` with their prefix tokens: one normed sequence for each of ``out_indices``."""
        tokens = self.embed(images)
        levels, start = {}, 0
        for index in sorted(set(self.out_indices)):
            tokens = self.run(tokens, start, index + 1)
            start = index + 1
            levels[index] = self.norm(tokens)
        return tuple(levels[index] for index in self.out_indices)

    def embed(self, images: Tensor) -> Tokens:
        """Patches with positions behind the trunk's class and register tokens."""
        return self.driver.embed(pad_to_multiple(images, self.stride))

    def run(self, tokens: Tokens, start: int = 0, stop: int | None = None, attn_mask: Tensor | None = None) -> Tokens:
        """Run blocks ``start`` to ``stop``; ``attn_mask`` is True where attention is allowed, (B, 1, N, N)."""
        for index in range(start, self.depth if stop is None else stop):
            if self.grad_checkpointing and self.training:
                x = checkpoint(self.driver.run_block, index, tokens, attn_mask, use_reentrant=False)
            else:
                x = self.driver.run_block(index, tokens, attn_mask)
            tokens = replace(tokens, x=x)
        return tokens

    def norm(self, tokens: Tokens) -> Tokens:
        """Apply the trunk's final norm, if it has one."""
        norm = getattr(self.trunk, 'norm', None)
        return tokens if norm is None else replace(tokens, x=norm(tokens.x))

    def layer_index(self, name: str) -> int:
        parts = name.removeprefix('trunk.').split('.')
        if parts[0] == 'blocks':
            return int(parts[1]) + 1
        return self.depth + 1 if parts[0] == 'norm' else 0

    def stage_index(self, name: str) -> int | None:
        return None if name in ('trunk', 'trunk.blocks') else self.layer_index(name)
