"""The Shrunk structure of SegViT (arXiv:2210.05844) and its edge-aware form, SegViTv2's Shrunk++
(arXiv:2306.06289): a plain ViT most of whose blocks run on a quarter of the tokens."""
from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from timm.layers import to_2tuple
from torch import Tensor, nn

from ....backbones import PlainViT, Tokens
from ....layers import resize_pos_map, sine_positions
from ..base import MaskNetwork
from ..mask_types import MaskPrediction
from .loss import SegViTShrunkLoss
from .network import AttentionToMask, LevelProjection, initialise_linear, predictions_of


class ShrunkPrediction(NamedTuple):
    """Mask proposals of a Shrunk SegViT.

    Attributes:
        masks, classes: As in :class:`MaskPrediction`.
        edges: Logits, (B, h, w), of patches that a border of segments crosses; None without edge tokens.
        patches: Class logits (B, C, h, w) of the restored patches; None without the auxiliary head and in evaluation.
    """
    masks: Tensor
    classes: Tensor
    edges: Tensor | None = None
    patches: Tensor | None = None


class SegViTShrunk(MaskNetwork):
    """SegViT over a plain ViT that is shrunk on the way and whose resolution is restored by learned queries.

    Query-based down-sampling: in block ``shrink_block``, every second token of every second row queries all tokens,
    and they alone go on. What a block gives for a token depends on that token's query and on everybody's keys and
    values, so this is the block as it is, of whose tokens some are kept: any trunk will do, and its weights serve
    unchanged. (Computing the block for the others as well costs 3/4 of one block.) Query-based up-sampling: learned
    queries, one for each patch of the image, read the tokens from before the shrinking and then those of the last
    block, ``num_layers`` decoder layers each. Class queries then read these with attention to mask; there is a
    prediction for each of their layers in train mode, and the last alone in evaluation.

    With ``edge_share``, down-sampling is aware of edges: beside the regular ones, that share of all tokens is kept
    where a small head sees borders of segments, which :class:`SegViTShrunkLoss` teaches it. The authors have published
    no code of this part. The head (two linear layers), its loss, and a fixed share, with which the images of a batch
    keep equally many tokens, are choices made here.

    With ``aux_head``, a linear layer also classifies the restored patches in training, so that the up-sampling queries
    do not learn through the class queries alone. From random weights it learns faster at first
    (``configs/overfit/segvit_shrunk_camvid8.py``). The authors' code has an auxiliary classifier, commented out.

    Args:
        backbone: A plain ViT; all of its blocks run. The authors use no prefix tokens (``keep_prefix=False``) and no
            final norm (``norm_out=False``).
        num_classes: C, and the number of class queries.
        embed_dim: Width of the decoder; the authors take half of the ViT's.
        num_heads: Attention heads; the authors take as many as the ViT has.
        num_layers: Decoder layers that read each level, and of attention to mask.
        shrink_block: The block that shrinks; the authors' is 8 of ViT-L's 24, counted from 0.
        query_grid: (h, w) or side in patches of the images for which the queries are learned; resized for others. They
            begin as sines of their places, where the authors' are random.
        edge_share: Tokens that are kept for edges, as a share of all.
        aux_head: Whether restored patches are classified in training.
        dropout: Rate of dropout in the decoder.

    Raises:
        ValueError: The backbone has no such block, or cannot run the others on fewer tokens.
    """
    loss_class = SegViTShrunkLoss
    class_parts = ('class_head', 'query', 'aux_head')

    def __init__(
        self,
        backbone: PlainViT,
        num_classes: int,
        embed_dim: int = 512,
        num_heads: int = 16,
        num_layers: int = 3,
        shrink_block: int = 8,
        query_grid: int | tuple[int, int] = 40,
        edge_share: float = 0.,
        aux_head: bool = False,
        dropout: float = .1,
    ) -> None:
        super().__init__(backbone, num_classes)
        _check(backbone, shrink_block, edge_share)
        self.shrink_block, self.edge_share = shrink_block, edge_share
        self.query = nn.Embedding(num_classes, embed_dim)
        self.patch_queries = nn.Parameter(2 * sine_positions(to_2tuple(query_grid), embed_dim))
        self.projections = nn.ModuleList(LevelProjection(backbone.embed_dim, embed_dim) for _ in range(2))
        self.upsampling = nn.ModuleList(
            nn.ModuleList(nn.TransformerDecoderLayer(embed_dim, num_heads, 4 * embed_dim, dropout, batch_first=True)
                          for _ in range(num_layers))
            for _ in range(2))
        self.decoder = nn.ModuleList(AttentionToMask(embed_dim, num_heads, dropout) for _ in range(num_layers))
        self.class_head = initialise_linear(nn.Linear(embed_dim, num_classes + 1))
        self.aux_head = nn.Linear(embed_dim, num_classes) if aux_head else None
        width = backbone.embed_dim
        self.edge_head = nn.Sequential(
            nn.Linear(width, width // 4), nn.GELU(), nn.Linear(width // 4, 1)) if edge_share else None
        for module in (*self.upsampling.modules(), *(self.edge_head or ())):
            if isinstance(module, nn.Linear):
                initialise_linear(module)

    def forward(self, images: Tensor) -> list[ShrunkPrediction]:
        tokens = self.backbone.run(self.backbone.embed(images), 0, self.shrink_block)
        grid, whole = tokens.grid, self.backbone.norm(tokens).patches
        edges = None if self.edge_head is None else self.edge_head(whole).squeeze(-1).unflatten(1, grid)
        tokens = self.backbone.run(tokens, self.shrink_block, self.shrink_block + 1)
        tokens = keep_tokens(tokens, edges, self.edge_share)
        shrunk = self.backbone.norm(self.backbone.run(tokens, self.shrink_block + 1))
        patches = self._upsample(whole, shrunk.x[:, self.backbone.num_prefix_tokens:], grid)
        classes = None
        if self.aux_head is not None and self.training:
            classes = self.aux_head(patches).transpose(1, 2).unflatten(2, grid)
        return [ShrunkPrediction(*prediction, edges, classes) for prediction in self._decode(patches, grid)]

    def _upsample(self, whole: Tensor, shrunk: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features before the shrinking (B, h * w, C) and after it (B, n, C) to (B, h * w, D)."""
        queries = resize_pos_map(self.patch_queries, grid).flatten(2).transpose(1, 2).expand(whole.shape[0], -1, -1)
        for level, project, layers in zip((whole, shrunk), self.projections, self.upsampling, strict=True):
            memory = project(level)
            for layer in layers:
                queries = layer(queries, memory)
        return queries

    def _decode(self, patches: Tensor, grid: tuple[int, int]) -> list[MaskPrediction]:
        queries = self.query.weight.expand(patches.shape[0], -1, -1)
        masks, read = [], []
        for layer in self.decoder:
            queries, similarity = layer(queries, patches)
            read.append(queries)
            masks.append(similarity.unflatten(2, grid))
        first = 0 if self.training else -1
        return predictions_of(masks[first:], read[first:], self.class_head)


def keep_tokens(tokens: Tokens, edges: Tensor | None = None, edge_share: float = 0.) -> Tokens:
    """Every second patch of every second row, and ``edge_share`` of all patches where ``edges`` (B, h, w) is highest.

    Edge patches come before the others, as further prefix tokens: the rest still fills a grid.
    """
    (height, width), device = tokens.grid, tokens.x.device
    places = torch.arange(height * width, device=device).unflatten(0, tokens.grid)[::2, ::2]
    grid, kept = tuple(places.shape), places.flatten()
    if edges is None:
        rope = None if tokens.rope is None else tokens.rope[..., kept, :]
        x = torch.cat((tokens.x[:, :tokens.num_prefix], tokens.patches[:, kept]), dim=1)
        return replace(tokens, x=x, grid=grid, rope=rope)
    count = min(int(edge_share * height * width), height * width - kept.shape[0])
    others = edges.detach().flatten(1).index_fill(1, kept, -torch.inf)
    kept = torch.cat((others.topk(count).indices, kept.expand(edges.shape[0], -1)), dim=1)  # (B, count + kept)
    patches = tokens.patches.gather(1, kept.unsqueeze(2).expand(-1, -1, tokens.x.shape[2]))
    x = torch.cat((tokens.x[:, :tokens.num_prefix], patches), dim=1)
    rope = tokens.rope
    if rope is not None:  # of each image its own: (B, 1, N, 2 d), or (depth, B, heads, N, 2 d) where it is learned
        rope = rope[..., kept, :]
        rope = rope.unsqueeze(1) if rope.ndim == 3 else rope.transpose(1, 2)
    return replace(tokens, x=x, grid=grid, num_prefix=tokens.num_prefix + count, rope=rope)


def _check(backbone: PlainViT, shrink_block: int, edge_share: float) -> None:
    if not isinstance(backbone, PlainViT):
        raise ValueError(f'SegViTShrunk drives the blocks of a densevit.PlainViT, and {type(backbone).__name__} is '
                         'none: choose densevit.SegViT')
    if not 0 < shrink_block < backbone.depth - 1:
        raise ValueError(f'shrink_block={shrink_block}: the backbone has blocks 0 to {backbone.depth - 1}, and some '
                         'must come before and behind the one that shrinks')
    if not 0 <= edge_share < .75:
        raise ValueError(f'edge_share={edge_share}: 0 to .75 of the tokens, for a quarter is kept anyway')
    if any(index >= shrink_block for index in backbone.windowed_blocks):
        raise ValueError('SegViTShrunk: windows would grow with the distance of the tokens; name all blocks from '
                         'shrink_block on as global_blocks')
