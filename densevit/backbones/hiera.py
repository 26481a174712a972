"""Hiera (arXiv:2306.00989) as a feature pyramid."""
from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

from timm.models.hiera import Hiera as TimmHiera
from timm.models.hiera import HieraBlock
from torch import Tensor, nn

from .hiera_positions import PositionForm
from .hiera_stages import StagedTrunk, build_trunk
from .options import Grid, PosEmbed, as_grid

_GLOBAL_POS_SIZE = (14, 14)


class Hiera(StagedTrunk):
    """Hiera (arXiv:2306.00989): attention within mask units at high resolution, global attention at low resolution.

    The trunk is timm's ``Hiera`` under timm's parameter names, by name (``Hiera('hiera_tiny_224')``) or from explicit
    sizes (``Hiera(embed_dim=96, num_heads=1, stages=(1, 2, 7, 2))``), without classifier and final norm, driven at any
    image size. At ``img_size`` the outputs are timm's.

    Images are zero-padded at the right and bottom to whole mask units (32 pixels). Tokens of padded pixels are tokens
    like any other: a mask unit at the border and the global blocks attend to them, as a network trained on padded
    batches does.

    Args:
        name: A timm model of this family; None to build one from ``trunk_kwargs``.
        out_indices: Stages whose outputs are returned, finest first, with strides 4, 8, 16 and 32; stages behind the
            last one are not built.
        norm_out: Whether each returned map goes through a LayerNorm of its own.
        pos_embed: ``'interpolate'`` stretches one embedding over the image. ``'absolute_window'`` (arXiv:2311.05613)
            repeats a mask unit's embedding and adds a stretched global one, so that mask units keep their positions at
            any image size. ``'tile'`` repeats the positions of an image of ``img_size``. None: absolute windows where
            the timm model has them, interpolation elsewhere. Weights of the other form are converted.
        global_pos_size: (h, w) or side of the global part of absolute window positions; None for the timm model's own.
        pos_embed_antialias: Whether the bicubic resizing of positions smooths as well, as timm's does.
        frozen_stages: -1 trains all, 0 freezes patch embedding and positions, k freezes k stages as well.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations.
        pretrained: Download timm's weights for ``name``.
        trunk_kwargs: Passed to timm's model: ``img_size`` (the size of the stored positions), ``embed_dim``,
            ``num_heads``, ``stages``, ``mask_unit_attn``, ``drop_path_rate`` ...

    Raises:
        ValueError: timm has no such model; an option has no such value or no meaning for images.
        TypeError: The model is of another family, or has no such option.
        OSError: Its weights cannot be downloaded.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        norm_out: bool = False,
        pos_embed: PosEmbed | None = None,
        global_pos_size: int | Grid | None = None,
        pos_embed_antialias: bool = True,
        frozen_stages: int = -1,
        grad_checkpointing: bool = False,
        pretrained: bool = False,
        **trunk_kwargs: Any,
    ) -> None:
        for option in ('sep_pos_embed', 'patch_drop_rate'):
            if trunk_kwargs.get(option):
                raise ValueError(f'{option} has no meaning for feature maps of whole images; leave it out')
        global_grid = as_grid(global_pos_size, 'global_pos_size')
        if global_grid is not None:
            trunk_kwargs['global_pos_size'] = global_grid
        trunk = build_trunk(name, Hiera, TimmHiera, pretrained, trunk_kwargs)
        super().__init__(trunk, num_pools=trunk.q_pool, out_indices=out_indices, norm_out=norm_out,
                         frozen_stages=frozen_stages, grad_checkpointing=grad_checkpointing)
        self.num_unrolls = len(trunk.stage_ends) - 1
        unit = self.pool**self.num_unrolls
        if any(unit % side for side in trunk.mask_unit_size):
            raise ValueError(f'mask_unit_size {tuple(trunk.mask_unit_size)} does not divide {unit}, which is what '
                             f'{self.num_unrolls} poolings by {self.pool} take up')
        self.positions = self._form(pos_embed, global_grid or _GLOBAL_POS_SIZE, pos_embed_antialias)
        if (self.positions.window is None) != (trunk.pos_embed_win is None):
            self._convert_positions(pretrained)
        self.freeze()

    @property
    def multiple(self) -> int:
        return self.patch_stride * self.pool**self.num_unrolls

    def embed(self, images: Tensor) -> Tensor:
        """Tokens (B, h * w, C) of padded images, unrolled."""
        x = self.trunk.patch_embed.proj(images)
        x = x + self.positions.at(tuple(x.shape[-2:]), self._embed_map(), self.trunk.pos_embed_win)
        return unroll(x, self.pool, self.num_unrolls)

    def run_block(self, block: HieraBlock, x: Tensor) -> Tensor:
        return block(x)

    def to_map(self, x: Tensor, stage: int, grid: Grid) -> Tensor:
        return reroll(x, self.pool, self.num_unrolls - self.pools[stage], grid)

    def _form(self, kind: PosEmbed | None, global_size: Grid, antialias: bool) -> PositionForm:
        trunk = self.trunk
        has_window = trunk.pos_embed_win is not None
        kind = kind or ('absolute_window' if has_window else 'interpolate')
        grid = tuple(trunk.tokens_spatial_shape)
        if kind == 'interpolate' or not (has_window or kind == 'absolute_window'):
            return PositionForm(kind, grid, stored=grid, window=None, antialias=antialias)
        stored = tuple(trunk.pos_embed.shape[-2:]) if has_window else tuple(global_size)
        return PositionForm(kind, grid, stored, tuple(trunk.mask_unit_size), antialias)

    def _convert_positions(self, pretrained: bool) -> None:
        """Positions in the other form than timm built, from what was downloaded or initialised again."""
        trunk = self.trunk
        embed, window = self.positions.fit(self._embed_map().detach(), trunk.pos_embed_win)
        if window is None:
            embed = embed.flatten(2).transpose(1, 2)
        for name, tensor in (('pos_embed', embed), ('pos_embed_win', window)):
            parameter = None if tensor is None else nn.Parameter(tensor.detach().clone())
            if parameter is not None and not pretrained:
                nn.init.trunc_normal_(parameter, std=.02)
            setattr(trunk, name, parameter)

    def _embed_map(self) -> Tensor:
        embed = self.trunk.pos_embed
        return embed if embed.dim() == 4 else plain_to_map(embed, tuple(self.trunk.tokens_spatial_shape))


def plain_to_map(pos_embed: Tensor, grid: Grid | None = None) -> Tensor:
    """Positions (1, h * w, C) as a map (1, C, h, w), a square one where the grid is not known.

    Raises:
        ValueError: The grid is not that of the embedding, or not known and not square.
    """
    side = isqrt(pos_embed.shape[1])
    grid = grid or (side, side)
    if prod(grid) != pos_embed.shape[1]:
        raise ValueError(f'{pos_embed.shape[1]} positions are not a grid of {grid[0]}x{grid[1]}')
    return pos_embed.unflatten(1, grid).permute(0, 3, 1, 2)


def unroll(x: Tensor, pool: int, times: int) -> Tensor:
    """Order (B, C, h, w) as Hiera's tokens (B, h * w, C): what is pooled together lies a fixed step apart.

    The first ``pool ** 2`` equal parts of the sequence are the places within a window of the first pooling, each of
    them in turn ordered by those of the second pooling, and so on; last come the mask units, row by row.
    """
    height, width = x.shape[-2:]
    digits = (pool, ) * times
    x = x.unflatten(3, (width // pool**times, *digits)).unflatten(2, (height // pool**times, *digits))
    # (B, C, row, digits of the row, column, digits of the column), the first pooling's digit last
    row, column = 2, 3 + times
    pairs = [axis for i in range(times) for axis in (row + times - i, column + times - i)]
    return x.permute(0, *pairs, row, column, 1).flatten(1, -2)


def reroll(x: Tensor, pool: int, times: int, grid: Grid) -> Tensor:
    """Undo :func:`unroll`: (B, h * w, C) with ``times`` poolings left to (B, C, h, w)."""
    height, width = grid
    x = x.unflatten(1, (*(pool, ) * (2 * times), height // pool**times, width // pool**times))
    row, column, channel = 2 * times + 1, 2 * times + 2, 2 * times + 3
    rows = (row, *range(2 * times - 1, 0, -2))
    columns = (column, *range(2 * times, 0, -2))
    x = x.permute(0, channel, *rows, *columns)
    return x.flatten(3 + times).flatten(2, 2 + times)
