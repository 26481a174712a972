"""HieraDet, the trunk of Segment Anything 2, as a feature pyramid."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.hieradet_sam2 import HieraDet as TimmHieraDet
from timm.models.hieradet_sam2 import MultiScaleBlock
from torch import Tensor, nn

from ..layers import AttentionWindows
from .hiera_positions import PositionForm
from .hiera_stages import StagedTrunk, build_trunk
from .options import Grid, PosEmbed, as_grid


class HieraDet(StagedTrunk):
    """Hiera for dense tasks (arXiv:2306.00989) as in SAM 2 (arXiv:2408.00714): windows at every resolution, a few
    blocks that attend globally, absolute window positions (arXiv:2311.05613).

    The trunk is timm's ``HieraDet`` under timm's parameter names, by name (``HieraDet('sam2_hiera_tiny')``) or from
    explicit sizes (``HieraDet(embed_dim=96, num_heads=1, stages=(1, 2, 7, 2), global_att_blocks=(5, 7, 9))``), without
    classifier. At image sizes that SAM 2 takes, outputs are those of SAM 2.

    Images of any size are taken: they are zero-padded at the right and bottom to a multiple of the coarsest stride, so
    that every pooling halves an even grid, and these pads are part of the image for the blocks that attend globally.
    Windows that reach over the grid are filled up with zeros that everybody in the window sees, as in SAM 2. Compiled
    with dynamic shapes, images larger than a window make up to four graphs: each axis may hold whole windows or not.

    Args:
        name: A timm model of this family; None to build one from ``trunk_kwargs``.
        out_indices: Stages whose outputs are returned, finest first, with strides 4, 8, 16 and 32; stages behind the
            last one are not built.
        norm_out: Whether each returned map goes through a LayerNorm of its own; SAM 2 has none.
        pos_embed: ``'absolute_window'``: SAM 2's positions, the global part stretched over the image. ``'tile'``: those
            of an image of ``pos_embed_grid``, repeated over the image, as HieraDet's paper does (arXiv:2311.05613).
            ``'interpolate'``: one plain embedding of ``pos_embed_grid`` that is stretched.
        pos_embed_grid: (h, w) or side in tokens of a pre-training image; 224 pixels are 56 tokens.
        pos_embed_antialias: Whether the bicubic resizing of positions smooths as well; SAM 2's does not.
        frozen_stages: -1 trains all, 0 freezes patch embedding and positions, k freezes k stages as well.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations.
        pretrained: Download timm's weights for ``name``.
        trunk_kwargs: Passed to timm's model: ``embed_dim``, ``num_heads``, ``stages``, ``global_att_blocks``,
            ``window_spec``, ``global_pos_size`` (SAM 2's ``window_pos_embed_bkg_spatial_size``), ``q_pool``,
            ``drop_path_rate`` ...

    Raises:
        ValueError: timm has no such model; an option has no such value; a window cannot be pooled.
        TypeError: The model is of another family, or has no such option.
        OSError: Its weights cannot be downloaded.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        norm_out: bool = False,
        pos_embed: PosEmbed = 'absolute_window',
        pos_embed_grid: int | Grid = (56, 56),
        pos_embed_antialias: bool = False,
        frozen_stages: int = -1,
        grad_checkpointing: bool = False,
        pretrained: bool = False,
        **trunk_kwargs: Any,
    ) -> None:
        grid = as_grid(pos_embed_grid, 'pos_embed_grid')
        if 'global_pos_size' in trunk_kwargs:
            trunk_kwargs['global_pos_size'] = as_grid(trunk_kwargs['global_pos_size'], 'global_pos_size')
        trunk = build_trunk(name, HieraDet, TimmHieraDet, pretrained, trunk_kwargs)
        super().__init__(trunk, num_pools=len(trunk.q_pool_blocks), out_indices=out_indices, norm_out=norm_out,
                         frozen_stages=frozen_stages, grad_checkpointing=grad_checkpointing)
        is_plain = pos_embed == 'interpolate'
        stored, window = tuple(trunk.pos_embed.shape[-2:]), tuple(trunk.pos_embed_window.shape[-2:])
        self.positions = PositionForm(
            pos_embed, grid, stored=grid if is_plain else stored, window=None if is_plain else window,
            antialias=pos_embed_antialias)
        if is_plain:
            self.trunk.pos_embed = nn.Parameter(
                self.positions.fit(trunk.pos_embed.data, trunk.pos_embed_window.data)[0])
            self.trunk.pos_embed_window = None
        for block in self.trunk.blocks:
            if block.q_stride and block.window_size[0] % self.pool:
                raise ValueError(f'windows of {block.window_size[0]} tokens cannot be pooled by {self.pool}; choose '
                                 f'other sizes in window_spec={tuple(trunk.window_spec)}')
        self.freeze()

    @property
    def multiple(self) -> int:
        return self.patch_stride * self.pool**self.pools[-1]

    def embed(self, images: Tensor) -> Tensor:
        """Tokens (B, h, w, C) of padded images, with positions."""
        x = self.trunk.patch_embed(images)
        positions = self.positions.at(tuple(x.shape[1:3]), self.trunk.pos_embed, self.trunk.pos_embed_window)
        return x + positions.permute(0, 2, 3, 1)

    def run_block(self, block: MultiScaleBlock, x: Tensor) -> Tensor:
        """timm's block with windows laid by :class:`AttentionWindows`.

        timm's own computation of windows keeps ``torch.compile`` with dynamic shapes busy for minutes.
        """
        normed = block.norm1(x)
        shortcut = block.proj(normed) if block.dim != block.dim_out else x
        if block.pool is not None:
            shortcut = block.pool(shortcut.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        attended = self._attend(block, normed, tuple(shortcut.shape[1:3]))
        x = shortcut + block.drop_path1(block.ls1(attended))
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))

    def _attend(self, block: MultiScaleBlock, x: Tensor, grid_out: Grid) -> Tensor:
        if not block.is_windowed:
            return block.attn(x)
        size = block.window_size[0]
        windows = AttentionWindows(tuple(x.shape[1:3]), size, mask_pads=False).partition_map(x)
        size_out = size // self.pool if block.q_stride else size
        return AttentionWindows(grid_out, size_out).merge_map(block.attn(windows))

    def to_map(self, x: Tensor, stage: int, grid: Grid) -> Tensor:
        return x.permute(0, 3, 1, 2)
