"""ViT-CoMer: Vision Transformer with Convolutional Multi-scale Feature Interaction (arXiv:2403.07392).

Where the paper and the official code differ, this is the official code, which the published weights need.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import PlainViT
from ..backbones.options import Grid
from ..layers import resize_bilinear
from ..layers.levels import add_to_level, flatten_levels, split_levels
from .extractor import ConvFFN, DeformableStep, Extractor, LayerNorm
from .interacting import TOKEN_LEVEL, Form, InteractingAdapter, Interaction, attention_sizes

_MRFP_RATIOS = dict(detection=.5, segmentation=6.)
_NUM_EXTRA = 4
_NUM_LEVELS = 3


class ViTCoMer(InteractingAdapter):
    """A plain ViT beside a convolutional pyramid that is refined, merged and read in both directions.

    Arguments of the ViT that hold unless ``vit`` gives others: no class and register tokens, no final norm, this
    ``drop_path_rate`` (which a ViT that is given built has to have) and ``grad_checkpointing``. The official code has
    ``pos_embed_antialias=False``.

    Args:
        vit: A :class:`densevit.PlainViT` of patch size 16, or its arguments.
        form: The official code has two. ``'detection'`` adds the ViT's last features to the pyramid and refines at
            half the width; ``'segmentation'`` adds to each level the features after one of the four interactions and
            refines at six times the width.
        interaction_indexes: First and last block of each interaction; four equal parts by default.
        num_points: Sampling points of a head on a level.
        num_heads: Heads of the deformable attention; by default 6 below ViT-B, else one for 64 channels.
        value_ratio: Width of its values over the ViT's; by default 1 below ViT-B, else 0.5.
        mrfp_ratio: Hidden width of the multi-receptive-field pyramid over the ViT's. The published segmentation models
            have 6 (T), 1.5 (S) and 1 (B).
        to_vit, to_cnn: Whether an interaction goes in this direction: one for all, or one for each.
        cnn_interaction: Whether the levels of the pyramid attend to each other behind the blocks: one for all or each.
        conv_inplane: Channels of the stem of the convolutional branch.
        ffn_ratio: Hidden width of the feed-forward layers over the ViT's.
        extra_extractors: Whether four more steps to the pyramid follow the last block.
        gate_init: What the gates into the ViT start from; at 0 it starts as it was pre-trained.
        add_vit_feature: False adds none of the ViT's features.
        out_indices: Which of the four maps (strides 4, 8, 16, 32) are returned; detectors as DINO read 1, 2 and 3.
        drop_path_rate: Stochastic depth of the ViT's last block and of each feed-forward layer of the interactions.
        frozen_stages: -1 trains all, 0 freezes the ViT's embedding, k freezes k of its blocks as well.
        norm_eval: Whether batch norms keep their running statistics in train mode.
        grad_checkpointing: Recompute blocks and interactions in the backward pass.

    Raises:
        ValueError: The ViT, ``interaction_indexes``, ``num_heads`` or a list of another length do not fit.
    """

    def __init__(
        self,
        vit: PlainViT | dict[str, Any],
        *,
        form: Form = 'detection',
        interaction_indexes: Sequence[Sequence[int]] | None = None,
        num_points: int = 4,
        num_heads: int | None = None,
        value_ratio: float | None = None,
        mrfp_ratio: float | None = None,
        to_vit: bool | Sequence[bool] = True,
        to_cnn: bool | Sequence[bool] = True,
        cnn_interaction: bool | Sequence[bool] = True,
        conv_inplane: int = 64,
        ffn_ratio: float = .25,
        extra_extractors: bool = True,
        gate_init: float = 0.,
        add_vit_feature: bool = True,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        drop_path_rate: float = 0.,
        norm_eval: bool = False,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            vit,
            dict(keep_prefix=False, frozen_stages=frozen_stages, drop_path_rate=drop_path_rate,
                 grad_checkpointing=grad_checkpointing),
            form=form, interaction_indexes=interaction_indexes, conv_inplane=conv_inplane,
            add_vit_feature=add_vit_feature, out_indices=out_indices, norm_features=False, norm_eval=norm_eval)
        dim, count = self.vit.embed_dim, len(self.block_ranges)
        heads, ratio = attention_sizes(dim, num_heads, value_ratio)
        attention = dict(num_levels=_NUM_LEVELS, num_heads=heads, num_points=num_points, value_ratio=ratio)
        shared = dict(ffn_ratio=ffn_ratio, drop_path=drop_path_rate, **attention)
        mrfp_ratio = _MRFP_RATIOS[form] if mrfp_ratio is None else mrfp_ratio
        self.interactions = nn.ModuleList()
        for index, (into_vit, into_cnn, interact) in enumerate(zip(
                _for_each('to_vit', to_vit, count), _for_each('to_cnn', to_cnn, count),
                _for_each('cnn_interaction', cnn_interaction, count), strict=True)):
            num_extra = _NUM_EXTRA if extra_extractors and index == count - 1 else 0
            self.interactions.append(CoMerInteraction(
                MRFP(dim, int(dim * mrfp_ratio)) if into_vit else None,
                ToViT(dim, gate_init=gate_init, **shared) if into_vit else None,
                ToCNN(dim, ffn_first=False, interact=interact, **shared) if into_cnn else None,
                [ToCNN(dim, ffn_first=True, interact=interact, **shared) for _ in range(num_extra)],
                grad_checkpointing))
        self.reset_parameters()
        self.freeze()


class MRFP(nn.Module):
    """Multi-receptive-field feature pyramid: each level through depth-wise 3x3 and 5x5 convolutions, section 3.2.

    No residual and no norm at its entry: what comes out replaces the pyramid.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        if hidden_dim < 2 or hidden_dim % 2:
            raise ValueError(f'mrfp_ratio gives a hidden width of {hidden_dim}; choose one that gives an even number')
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.levels = nn.ModuleList(TwoKernels(hidden_dim) for _ in range(_NUM_LEVELS))
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, pyramid: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Refine the tokens (B, N, D) of the pyramid."""
        maps = split_levels(self.fc1(pyramid), grids)
        hidden = flatten_levels([level(x) for level, x in zip(self.levels, maps, strict=True)])
        return self.fc2(self.act(hidden))  # a second GELU: each level already ends in one


class TwoKernels(nn.Module):
    """Half of the channels through a depth-wise 3x3 convolution, half through a 5x5; batch norm and GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        self.conv3 = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.conv5 = nn.Conv2d(half, half, 5, padding=2, groups=half)
        self.norm = nn.BatchNorm2d(dim)  # the only one here that does not join the statistics of all processes
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        small, large = x.chunk(2, dim=1)
        return self.act(self.norm(torch.cat((self.conv3(small), self.conv5(large)), dim=1)))


class ToViT(DeformableStep):
    """The levels of the pyramid attend to each other; their sum is added to the patches, section 3.3.

    The attention has no residual, and what it gives is for the patches alone: the pyramid goes on without it.
    """

    def __init__(self, dim: int, *, gate_init: float, ffn_ratio: float, drop_path: float, **attention: Any) -> None:
        super().__init__(dim, **attention)
        self.ffn = ConvFFN(dim, ffn_ratio, drop_path)
        self.gamma = nn.Parameter(torch.full((dim, ), gate_init))

    def forward(self, patches: Tensor, grid: Grid, pyramid: Tensor, grids: Sequence[Grid]) -> Tensor:
        merged = self.ffn(self.attend(pyramid, grids, pyramid, grids), grids)
        fine, same, coarse = split_levels(merged, grids)
        added = resize_bilinear(fine, grid) + same + resize_bilinear(coarse, grid)
        return patches + self.gamma * added.flatten(2).transpose(1, 2)


class ToCNN(nn.Module):
    """The patches are added to the pyramid, whose levels then attend to each other, section 3.3.

    Args:
        ffn_first: Whether a feed-forward layer comes before the attention too: in the steps behind the last block.
        interact: False only adds (and feeds forward).
        shared: Arguments of :class:`Extractor`.
    """

    def __init__(self, dim: int, *, ffn_first: bool, interact: bool, **shared: Any) -> None:
        super().__init__()
        self.ffn = ConvFFN(dim, shared['ffn_ratio'], shared['drop_path']) if ffn_first else None
        self.query_norm, self.feat_norm = (LayerNorm(dim), LayerNorm(dim)) if interact else (None, None)
        self.extractor = Extractor(dim, **shared) if interact else None

    def forward(self, pyramid: Tensor, grids: Sequence[Grid], patches: Tensor) -> Tensor:
        pyramid = add_to_level(pyramid, grids, TOKEN_LEVEL, patches)
        if self.ffn is not None:
            pyramid = self.ffn(pyramid, grids)
        if self.extractor is not None:
            # Normalised here and once more in the extractor, whose residual is the normalised pyramid, not the pyramid.
            pyramid = self.extractor(self.query_norm(pyramid), grids, self.feat_norm(pyramid), grids)
        return pyramid


class CoMerInteraction(Interaction):
    """Pyramid into ViT before the blocks, ViT into pyramid after them; each direction may be absent."""

    def __init__(
        self,
        mrfp: MRFP | None,
        to_vit: ToViT | None,
        to_cnn: ToCNN | None,
        extra_extractors: Sequence[ToCNN],
        grad_checkpointing: bool,
    ) -> None:
        super().__init__()
        self.mrfp = mrfp
        self.to_vit = to_vit
        self.to_cnn = to_cnn
        self.extra_extractors = nn.ModuleList(extra_extractors)
        self.grad_checkpointing = grad_checkpointing

    def before(self, patches: Tensor, grid: Grid, pyramid: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        if self.to_vit is not None:
            pyramid = self.mrfp(pyramid, grids)  # never recomputed: its batch norms would count the images twice
            pyramid = add_to_level(pyramid, grids, TOKEN_LEVEL, patches)
            patches = self.call(self.to_vit, patches, grid, pyramid, grids)
        return patches, pyramid

    def after(self, pyramid: Tensor, grids: Sequence[Grid], patches: Tensor, grid: Grid) -> Tensor:
        for step in (self.to_cnn, *self.extra_extractors):
            if step is not None:
                pyramid = self.call(step, pyramid, grids, patches)
        return pyramid


def _for_each(name: str, value: bool | Sequence[bool], count: int) -> list[bool]:
    values = [value] * count if isinstance(value, bool) else list(value)
    if len(values) != count:
        raise ValueError(f'{name} has {len(values)} values for {count} interactions; give one for all or one for each')
    return values
