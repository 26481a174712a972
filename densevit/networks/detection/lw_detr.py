"""LW-DETR (arXiv:2406.03459): a plain ViT as the encoder, a projector and a shallow deformable decoder.

What makes it learn fast is Group DETR (arXiv:2207.13085): in training, several groups of queries share the decoder, do
not see each other and learn from all objects; one group is kept for prediction.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...backbones.contract import Backbone
from ...layers import DeformableAttention
from ...layers.attention import FeedForward, SelfAttention
from ...layers.boxes import box_sines, refine_boxes
from ...layers.levels import Grid, flatten_levels, reference_points
from .base import BoxPrediction, DetectionNetwork
from .projector import LevelProjector, Norm

_FIRST_SCORE = .01  # of every class before training, as in RetinaNet: most queries see nothing
_PROPOSAL_SIZE = .05  # of the finest level, in sides of the image; each coarser one doubles it
_BORDER = .01  # cells whose centre is nearer to the border propose nothing


class Decoded(NamedTuple):
    """What the decoder of :class:`LWDETR` makes of images.

    Attributes:
        maps: Levels of the projector, (B, D, h_l, w_l).
        proposals: What the chosen cells predict.
        chosen: Their features, (B, G, Q, D).
        references: The boxes that the queries refine, (B, G, Q, 4).
        layers: The queries behind each layer and the norm, (B, G, Q, D).
    """
    maps: list[Tensor]
    proposals: BoxPrediction
    chosen: Tensor
    references: Tensor
    layers: list[Tensor]


class LWDETR(DetectionNetwork):
    """Boxes of a plain ViT's maps.

    The projector's cells propose boxes (two-stage), the best of them are where the queries begin, and what the queries
    are is learned (mixed query selection). Every box is a re-parameterised difference to one reference, so that boxes
    need no sigmoid; references and position embeddings are computed once for all decoder layers.

    Args:
        backbone: Any with maps of one stride: a plain ViT with several ``out_indices``.
        num_classes: The number of classes C.
        embed_dim: Width D of the projector and the decoder.
        num_queries: Q, of each group.
        num_groups: Groups in training; one predicts.
        num_layers: Layers of the decoder.
        num_heads: Heads of its self-attention.
        num_cross_heads: Heads of its deformable attention.
        num_points: Points that such a head samples on each level.
        ffn_dim: Hidden width of its feed-forward layers.
        scales: The resolution of each level over that of the backbone's maps, finest first: (1, ) is P4 of a ViT with
            patches of 16, (2, .5) are P3 and P5.
        projector_norm: ``'batch'``, or ``'layer'`` (RF-DETR) for small batches and accumulated gradients.
        projector_blocks: Blocks of each C2f of the projector.

    Raises:
        ValueError: The backbone's maps differ in stride, or there is no such scale.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        embed_dim: int = 256,
        num_queries: int = 300,
        num_groups: int = 13,
        num_layers: int = 3,
        num_heads: int = 8,
        num_cross_heads: int = 16,
        num_points: int = 2,
        ffn_dim: int = 2048,
        scales: Sequence[float] = (1., ),
        projector_norm: Norm = 'batch',
        projector_blocks: int = 3,
    ) -> None:
        super().__init__(backbone, num_classes)
        if len(set(backbone.strides)) != 1:
            raise ValueError(f'LWDETR joins maps of one stride, and those of the backbone have {backbone.strides}: use '
                             "backbone.type='densevit.PlainViT' with several out_indices")
        self.num_queries, self.num_groups, self.embed_dim = num_queries, num_groups, embed_dim
        self.projector = nn.ModuleList(
            LevelProjector(backbone.out_channels, scale, embed_dim, projector_blocks, projector_norm)
            for scale in scales)
        self.proposals = nn.ModuleList(ProposalHead(embed_dim, num_classes) for _ in range(num_groups))
        self.query_embed = nn.Embedding(num_groups * num_queries, embed_dim)
        self.query_delta = nn.Embedding(num_groups * num_queries, 4)
        nn.init.zeros_(self.query_delta.weight)
        self.position_head = mlp(2 * embed_dim, embed_dim, embed_dim, 2)
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dim, num_heads, num_cross_heads, len(scales), num_points, ffn_dim)
            for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.class_head, self.box_head = class_head(embed_dim, num_classes), box_head(embed_dim)

    def forward(self, images: Tensor) -> list[BoxPrediction]:
        """(B, 3, H, W) images to predictions: in train mode the proposals', then those of all layers."""
        found = self.decode(images)
        if not self.training:
            return [self.read(found.layers[-1], found.references)]
        return [found.proposals, *(self.read(x, found.references) for x in found.layers)]

    def decode(self, images: Tensor) -> Decoded:
        """(B, 3, H, W) images to queries behind each layer of the decoder."""
        maps = self.backbone(images)
        maps = [project(maps) for project in self.projector]
        memory, grids = flatten_levels(maps), [tuple(x.shape[-2:]) for x in maps]
        proposals, chosen = self.propose(memory, grids)
        references = refine_boxes(proposals.boxes.detach(), self._of_queries(self.query_delta, proposals))
        x = self._of_queries(self.query_embed, proposals).expand(images.shape[0], -1, -1, -1)
        positions = self.position_head(box_sines(references, self.embed_dim // 2).to(x.dtype))
        layers = []
        for layer in self.layers:
            x = layer(x, positions, references, memory, grids)
            layers.append(self.norm(x))
        return Decoded(maps, proposals, chosen, references, layers)

    def propose(self, memory: Tensor, grids: Sequence[Grid]) -> tuple[BoxPrediction, Tensor]:
        """The best cells of all levels as boxes: those of each group, chosen and predicted by a head of its own.

        Args:
            memory: (B, N, D), all levels.
            grids: (h, w) of each level.

        Returns:
            What they predict, and the features of the chosen cells, (B, G, Q, D).
        """
        cells = proposal_boxes(grids, memory.device)
        is_inside = ((cells > _BORDER) & (cells < 1. - _BORDER)).all(-1, keepdim=True)
        cells, memory = cells * is_inside, memory * is_inside
        count = min(self.num_queries, memory.shape[1])  # of an image smaller than the queries
        heads = self.proposals if self.training else self.proposals[:1]
        found = [head(memory, cells, is_inside, count) for head in heads]
        logits, boxes, chosen = (torch.stack(part, dim=1) for part in zip(*found, strict=True))
        return BoxPrediction(logits, boxes), chosen

    def read(self, x: Tensor, references: Tensor) -> BoxPrediction:
        """Queries (B, G, Q, D) behind the norm to what they predict."""
        return BoxPrediction(self.class_head(x), refine_boxes(references, self.box_head(x)))

    def _of_queries(self, embedding: nn.Embedding, first: BoxPrediction) -> Tensor:
        """Values of the queries in use, (G, Q, ...)."""
        groups, count = first.logits.shape[1:3]
        return embedding.weight.unflatten(0, (self.num_groups, self.num_queries))[:groups, :count]


class ProposalHead(nn.Module):
    """One group's view of the cells: which are objects, and their boxes.

    Args:
        dim: Width D of the cells.
        num_classes: The number of classes C.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.class_head, self.box_head = class_head(dim, num_classes), box_head(dim)

    def forward(self, memory: Tensor, cells: Tensor, is_inside: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best cells, the best first.

        Args:
            memory: (B, N, D).
            cells: The box that each cell stands for, (N, 4).
            is_inside: Whether it may be chosen, (N, 1).
            count: Q, how many are chosen.

        Returns:
            Logits (B, Q, C), boxes (B, Q, 4) and features (B, Q, D).
        """
        x = self.norm(self.linear(memory))
        logits = self.class_head(x)
        scores = logits.detach().amax(-1).masked_fill(~is_inside.squeeze(-1), -torch.inf)
        best = scores.topk(count, dim=1).indices.unsqueeze(-1)
        x, logits = (y.gather(1, best.expand(-1, -1, y.shape[-1])) for y in (x, logits))
        # Boxes of the chosen cells alone: a third of what the heads of 13 groups cost.
        return logits, refine_boxes(cells[best.squeeze(-1)], self.box_head(x)), x


class DecoderLayer(nn.Module):
    """Self-attention within each group, deformable attention to the levels and a feed-forward layer, each post-norm.

    Args:
        dim: Width D of the queries.
        num_heads, num_cross_heads: Heads of the two attentions.
        num_levels: Levels that are attended to.
        num_points: Points that a head samples on each of them.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_cross_heads: int,
        num_levels: int,
        num_points: int,
        ffn_dim: int,
    ) -> None:
        super().__init__()
        self.self_attn = SelfAttention(dim, num_heads)
        self.cross_attn = DeformableAttention(dim, num_cross_heads, num_levels, num_points)
        self.norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, ffn_dim)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        references: Tensor,
        memory: Tensor,
        grids: Sequence[Grid],
    ) -> Tensor:
        """Queries (B, G, Q, D) with their positions and reference boxes (B, G, Q, 4) read a memory (B, N, D)."""
        groups = x.shape[1]
        x = self.self_attn(x.flatten(0, 1), positions.flatten(0, 1)).unflatten(0, (-1, groups)).flatten(1, 2)
        read = self.cross_attn(x + positions.flatten(1, 2), references.flatten(1, 2).unsqueeze(2), memory, grids)
        return self.ffn(self.norm(x + read)).unflatten(1, (groups, -1))


def proposal_boxes(grids: Sequence[Grid], device: torch.device) -> Tensor:
    """The box that each cell proposes before it is refined: (N, 4), centre, width and height in [0, 1]."""
    centres = reference_points(grids, device)[0, :, 0]
    sizes = [centres.new_full((h * w, 2), _PROPOSAL_SIZE * 2**level) for level, (h, w) in enumerate(grids)]
    return torch.cat((centres, torch.cat(sizes)), dim=-1)


def mlp(
    in_dim: int,
    hidden_dim: int,
    out_dim: int,
    num_layers: int,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Linear layers with activations between."""
    widths = [in_dim, *[hidden_dim] * (num_layers - 1), out_dim]
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


def class_head(dim: int, num_classes: int) -> nn.Linear:
    """Logits of every class, which begin at a score of 0.01."""
    head = nn.Linear(dim, num_classes)
    nn.init.constant_(head.bias, -math.log(1. / _FIRST_SCORE - 1.))
    return head


def box_head(dim: int) -> nn.Sequential:
    """Differences to a reference box, which begin at zero."""
    head = mlp(dim, dim, 4, 3)
    nn.init.zeros_(head[-1].weight)
    nn.init.zeros_(head[-1].bias)
    return head
