"""EoMT: Your ViT is Secretly an Image Segmentation Model (arXiv:2503.19108).

A plain ViT whose last blocks also process learned queries: no adapter, no pixel decoder, no Transformer decoder.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...backbones import PlainViT, Tokens
from ...layers import ScaleBlock, resize_bilinear
from .base import MaskNetwork
from .cell_queries import CellQueries
from .mask_types import MaskPrediction


class EoMT(MaskNetwork):
    """Encoder-only mask transformer: (B, 3, H, W) normalised images to mask and class logits.

    Queries join the patch tokens before the last ``num_blocks`` blocks. While a block's mask is on, each query
    attends only to the patches inside the mask predicted for it just before that block (section 3.2); masks are
    annealed away during training, so that inference is the ViT alone (section 3.3).

    Args:
        backbone: A plain ViT whose last blocks attend globally.
        num_classes: C; the class head has C + 1 outputs.
        num_queries: Q; the paper uses 200, and 100 for semantic segmentation.
        num_blocks: Blocks that process queries; the paper uses 3 for S and B, 4 for L, 5 for g.
        masked_attention: False trains without masks and without intermediate predictions.
        deep_supervision: ``'masked'`` predicts before a block only while its mask is still used, ``'always'`` in
            every training step, as the authors' code does to the end.
        lateral: Add the maps of the backbone's convolutional stem where their stride is met while upscaling. Not in
            the paper; for small hybrids trained from scratch.
        query_cell: Side in patches of the cells to which queries are tied; ``num_queries`` is then their number for
            each cell, so that Q grows with the image (:class:`CellQueries`). Not in the paper, whose queries are bound
            to no place, as with 0; for many small objects, and to learn from few images.
        mask_stride: Stride of the masks in pixels, a power of two: the backbone's is halved at least once, and at most
            down to this.
        mask_dim: Channels of the map that is upscaled, those of the backbone when omitted. Fewer make fine masks cheap.
    """

    def __init__(
        self,
        backbone: PlainViT,
        num_classes: int,
        num_queries: int = 100,
        num_blocks: int = 4,  # for ViT-L; see above for others
        masked_attention: bool = True,
        deep_supervision: Literal['masked', 'always'] = 'masked',
        lateral: bool = False,
        query_cell: int = 0,
        mask_stride: int = 4,  # the paper's
        mask_dim: int | None = None,
    ) -> None:
        super().__init__(backbone, num_classes)
        _check_backbone(backbone, num_blocks, masked_attention)
        if deep_supervision not in ('masked', 'always'):
            raise ValueError(f"deep_supervision='{deep_supervision}': choose 'masked' or 'always'")
        if deep_supervision == 'always' and not masked_attention:
            raise ValueError("deep_supervision='always' supervises masks, which masked_attention=False does without")
        if mask_stride not in (1, 2, 4, 8, 16):
            raise ValueError(f'mask_stride={mask_stride}: choose 1, 2, 4, 8 or 16')
        dim = backbone.embed_dim
        mask_dim = mask_dim or dim
        self.num_queries, self.num_blocks = num_queries, num_blocks
        self.masked_attention, self.deep_supervision = masked_attention, deep_supervision
        self.query = nn.Embedding(num_queries, dim)
        self.cells = CellQueries(dim, query_cell) if query_cell else None
        self.class_head = nn.Linear(dim, num_classes + 1)
        self.mask_head = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, mask_dim))
        # By default to stride 4 for patches of 8 and 16.
        self.num_upscales = max(1, int(math.log2(backbone.stride)) - int(math.log2(mask_stride)))
        self.upscale = nn.ModuleList(
            ScaleBlock(mask_dim if step else dim, mask_dim) for step in range(self.num_upscales))
        self.lateral = self._build_lateral(mask_dim) if lateral else None
        self.register_buffer('attn_mask_probs', torch.full((num_blocks, ), float(masked_attention)))
        self._probs = [float(masked_attention)] * num_blocks

    def forward(self, images: Tensor) -> list[MaskPrediction]:
        """Predictions before each masked block, in order, and the final one last.

        Masks cover the image as the backbone pads it: to whole patches, at the right and bottom.
        """
        tokens = self.backbone.embed(images)
        first = self.backbone.depth - self.num_blocks
        tokens = self.backbone.run(tokens, 0, first)
        queries = self.query.weight if self.cells is None else self.cells.begin(tokens, self.query.weight)
        tokens, count = tokens.prepend(queries), queries.shape[-2]
        predictions = []
        for step, prob in enumerate(self._probs):
            attn_mask = None
            if prob > 0 or (self.training and self.deep_supervision == 'always'):
                predictions.append(self._predict(tokens, count))
            if prob > 0:
                attn_mask = self._attn_mask(predictions[-1].masks, tokens, prob)
            tokens = self.backbone.run(tokens, first + step, first + step + 1, attn_mask)
        return [*predictions, self._predict(tokens, count)]

    def set_progress(self, share: float, starts: Sequence[float] | None = None,
                     length: float | Sequence[float] = 1 / 6, power: float = .9) -> None:
        """Anneal the masks to where they are after a share of the training; see :func:`annealed_probs`."""
        if self.masked_attention:
            self.set_mask_probs(annealed_probs(share, self.num_blocks, starts, length, power))

    def set_mask_probs(self, probs: list[float]) -> None:
        """Set, block by block, the probability that an image's query is masked (mask annealing, section 3.3)."""
        self.attn_mask_probs.copy_(torch.as_tensor(probs))
        self._probs = list(probs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._probs = self.attn_mask_probs.tolist()  # read by Python at every block: no device synchronisation there

    def _predict(self, tokens: Tokens, count: int) -> MaskPrediction:
        tokens = self.backbone.norm(tokens)
        queries = tokens.x[:, :count]
        masks = torch.einsum('bqd,bdhw->bqhw', self.mask_head(queries), self._upscale(tokens))
        if self.cells is not None:
            across, down = self.cells.fade(queries, tokens.grid, masks.shape[-2:])
            masks = masks + across.to(masks) + down.to(masks)
        return MaskPrediction(masks, self.class_head(queries))

    def _upscale(self, tokens: Tokens) -> Tensor:
        maps, stride = tokens.feature_map(), self.backbone.stride
        for block in self.upscale:
            maps, stride = block(maps), stride // 2
            if self.lateral is not None and str(stride) in self.lateral:
                stem = tokens.stem[self.backbone.stem_strides.index(stride)]
                maps = maps + self.lateral[str(stride)](stem)
        return maps

    def _attn_mask(self, masks: Tensor, tokens: Tokens, prob: float) -> Tensor:
        """(B, 1, N, N), True where a token may attend: all but patches outside a masked query's predicted mask.

        A probability between 0 and 1 is drawn for in training and rounded in evaluation, which so repeats itself.
        """
        inside = resize_bilinear(masks, tokens.grid).flatten(2) > 0  # (B, Q, h * w)
        if not self.training and prob < .5:
            inside = torch.ones_like(inside)
        elif self.training and prob < 1:
            inside = inside | (torch.rand(*inside.shape[:2], 1, device=inside.device) > prob)
        batch, count, _ = inside.shape
        length = tokens.x.shape[1]
        of_queries = torch.cat((inside.new_ones(batch, count, tokens.num_prefix), inside), dim=2)
        return torch.cat((of_queries, inside.new_ones(batch, length - count, length)), dim=1).unsqueeze(1)

    def _build_lateral(self, dim: int) -> nn.ModuleDict:
        met = {self.backbone.stride // 2**step for step in range(1, self.num_upscales + 1)}
        maps = zip(self.backbone.stem_strides, self.backbone.stem_channels, strict=True)
        lateral = {str(stride): nn.Conv2d(channels, dim, 1)
                   for stride, channels in maps if stride in met}
        if not lateral:
            raise ValueError('lateral=True needs a backbone with a convolutional stem (PlainViT(stem=...)) whose maps '
                             f'have a stride of {sorted(met)}')
        return nn.ModuleDict(lateral)


def annealed_probs(
    share: float,
    num_blocks: int,
    starts: Sequence[float] | None = None,
    length: float | Sequence[float] = 1 / 6,
    power: float = .9,
) -> list[float]:
    """Mask probability of each block after a share of the training (mask annealing, section 3.3).

    Blocks are annealed one after the other: by default the first begins after 1/6 of the run and the last after 4/6,
    each over 1/6 of it, so that the last sixth is free of masks. This is the rule behind the authors' hand-set steps.

    Args:
        share: How much of the training is done, from 0 to 1.
        num_blocks: Blocks that process queries.
        starts: Where each block's annealing begins, as shares of the training.
        length: Over which share of it a block is annealed; one number, or one for each block.
        power: Exponent of the polynomial by which a probability falls.

    Raises:
        ValueError: There are more or fewer starts or lengths than blocks.
    """
    if starts is None:
        gap = .5 / max(1, num_blocks - 1)
        starts = [1 / 6 + index * gap for index in range(num_blocks)]
    lengths = [length] * num_blocks if isinstance(length, float | int) else length
    if not len(starts) == len(lengths) == num_blocks:
        raise ValueError(f'{len(starts)} starts and {len(lengths)} lengths of annealing for {num_blocks} blocks: give '
                         'one for each block that processes queries')
    done = [min(1., max(0., (share - start) / span)) for start, span in zip(starts, lengths, strict=True)]
    return [(1. - part)**power for part in done]


def _check_backbone(backbone: PlainViT, num_blocks: int, masked_attention: bool) -> None:
    """See that queries can join its last blocks.

    Raises:
        ValueError: They cannot.
    """
    if not isinstance(backbone, PlainViT):
        raise ValueError(f'EoMT puts queries among the patches of a plain ViT, and {type(backbone).__name__} is none; '
                         'make a hierarchical network the stem of one: densevit.PlainViT with '
                         'stem=dict(model_name=..., out_indices=...)')
    if not 0 < num_blocks <= backbone.depth:
        raise ValueError(f'num_blocks={num_blocks}, but the backbone has {backbone.depth} blocks')
    joined = range(backbone.depth - num_blocks, backbone.depth)
    windowed = sorted(set(backbone.windowed_blocks).intersection(joined))
    if windowed and masked_attention:
        raise ValueError(f'queries join blocks {joined[0]} to {joined[-1]}, of which {windowed} attend within windows '
                         "and can have no masks; add them to the backbone's global_blocks, or set a smaller num_blocks "
                         'or masked_attention=False')
