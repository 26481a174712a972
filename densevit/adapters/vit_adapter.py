"""ViT-Adapter: Vision Transformer Adapter for Dense Predictions (arXiv:2205.08534)."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import PlainViT
from ..backbones.options import Grid
from .extractor import DeformableStep, Extractor
from .interacting import Form, InteractingAdapter, Interaction, attention_sizes

_NUM_EXTRA = 2


class ViTAdapter(InteractingAdapter):
    """A plain ViT beside a convolutional pyramid; the pyramid is injected into the ViT and extracts from it.

    Arguments of the ViT that hold unless ``vit`` gives others: no class and register tokens, no final norm, this
    ``drop_path_rate`` (which a ViT that is given built has to have) and ``grad_checkpointing``. With tokens that are
    kept (``keep_prefix=True``, as BEiT and DINOv3 need) only the patches interact.

    The official forms, each with ``pos_embed_antialias=False`` in ``vit``:

    ======================  ============================================================================================
    detection (DeiT ...)    the defaults
    segmentation (DeiT ..)  ``form='segmentation'``
    BEiTAdapter             ``form='segmentation', gate_init=1e-6, vit=dict(name='beit...', keep_prefix=True)``
    DINOv3's                ``form='segmentation', injectors=False, norm_features=True, num_heads=16, value_ratio=.5``
    ======================  ============================================================================================

    Args:
        vit: A :class:`densevit.PlainViT` of patch size 16, or its arguments.
        form: Which features of the ViT are added to the pyramid at the end: its last (``'detection'``) or, to each
            level its own, those after the four interactions (``'segmentation'``).
        interaction_indexes: First and last block of each interaction; four equal parts by default.
        num_points: Sampling points of a head on a level.
        num_heads: Heads of the deformable attention; by default 6 below ViT-B, else one for 64 channels.
        value_ratio: Width of its values over the ViT's; by default 1 below ViT-B, else 0.5.
        conv_inplane: Channels of the stem of the convolutional branch.
        with_ffn: Whether extractors have a feed-forward layer.
        ffn_ratio: Its hidden width over the ViT's.
        extra_extractors: Whether two more extractors follow the last block.
        injectors: False leaves the ViT as it is: it is only read.
        gate_init: What the gates of the injectors start from; at 0 the ViT starts as it was pre-trained.
        norm_features: Whether the ViT's final norm is applied to the features that are read from it and added.
        add_vit_feature: False adds none of the ViT's features.
        out_indices: Which of the four maps (strides 4, 8, 16, 32) are returned; detectors as DINO read 1, 2 and 3.
        drop_path_rate: Stochastic depth of the ViT's last block and of each feed-forward layer of the extractors.
        frozen_stages: -1 trains all, 0 freezes the ViT's embedding, k freezes k of its blocks as well.
        norm_eval: Whether batch norms keep their running statistics in train mode.
        grad_checkpointing: Recompute blocks, injectors and extractors in the backward pass.

    Raises:
        ValueError: The ViT, ``interaction_indexes`` or ``num_heads`` do not fit.
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
        conv_inplane: int = 64,
        with_ffn: bool = True,
        ffn_ratio: float = .25,
        extra_extractors: bool = True,
        injectors: bool = True,
        gate_init: float = 0.,
        norm_features: bool = False,  # DINOv3's adapter has True
        add_vit_feature: bool = True,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        drop_path_rate: float = 0.,
        norm_eval: bool = False,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            vit,
            dict(keep_prefix=not injectors, frozen_stages=frozen_stages, drop_path_rate=drop_path_rate,
                 grad_checkpointing=grad_checkpointing),
            form=form, interaction_indexes=interaction_indexes, conv_inplane=conv_inplane,
            add_vit_feature=add_vit_feature, out_indices=out_indices, norm_features=norm_features, norm_eval=norm_eval)
        dim = self.vit.embed_dim
        heads, ratio = attention_sizes(dim, num_heads, value_ratio)
        attention = dict(num_heads=heads, num_points=num_points, value_ratio=ratio)

        def extractor() -> Extractor:
            return Extractor(dim, 1, ffn_ratio=ffn_ratio if with_ffn else None, drop_path=drop_path_rate, **attention)

        self.interactions = nn.ModuleList()
        for index in range(len(self.block_ranges)):
            num_extra = _NUM_EXTRA if extra_extractors and index == len(self.block_ranges) - 1 else 0
            injector = Injector(dim, 3, gate_init=gate_init, **attention) if injectors else None
            self.interactions.append(AdapterInteraction(
                injector, extractor(), [extractor() for _ in range(num_extra)], grad_checkpointing))
        self.reset_parameters()
        self.freeze()


class Injector(DeformableStep):
    """Patches read the pyramid through a gate: section 3.3, eq. 1."""

    def __init__(self, dim: int, num_levels: int, *, gate_init: float, **attention: Any) -> None:
        super().__init__(dim, num_levels, **attention)
        self.gamma = nn.Parameter(torch.full((dim, ), gate_init))

    def forward(self, query: Tensor, query_grids: Sequence[Grid], feat: Tensor, feat_grids: Sequence[Grid]) -> Tensor:
        return query + self.gamma * self.attend(query, query_grids, feat, feat_grids)


class AdapterInteraction(Interaction):
    """An injector before the blocks, extractors after them."""

    def __init__(
        self,
        injector: Injector | None,
        extractor: Extractor,
        extra_extractors: Sequence[Extractor],
        grad_checkpointing: bool,
    ) -> None:
        super().__init__()
        self.injector = injector
        self.extractor = extractor
        self.extra_extractors = nn.ModuleList(extra_extractors)
        self.grad_checkpointing = grad_checkpointing

    def before(self, patches: Tensor, grid: Grid, pyramid: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        if self.injector is not None:
            patches = self.call(self.injector, patches, [grid], pyramid, grids)
        return patches, pyramid

    def after(self, pyramid: Tensor, grids: Sequence[Grid], patches: Tensor, grid: Grid) -> Tensor:
        for extractor in (self.extractor, *self.extra_extractors):
            pyramid = self.call(extractor, pyramid, grids, patches, [grid])
        return pyramid
