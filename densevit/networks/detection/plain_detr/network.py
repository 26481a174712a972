"""Plain DETR (arXiv:2308.01904): a decoder that reads one map as a whole, around any backbone.

One map, global attention, and no samples of a few points: what a plain ViT gives is enough. Where a box lies biases the
attention to pixels (:mod:`.box_rpb`), boxes are differences to boxes in pixels, and in training a second set of queries
learns each object several times (hybrid matching, arXiv:2207.13080). A frozen trunk may be followed by an encoder of
its own, as in DINOv3 (arXiv:2508.10104, section 6.3.1).
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d, trunc_normal_
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ....layers.attention import Attention
from ....layers.boxes import box_sines, refine_boxes, to_centres, to_corners
from ....layers.levels import Grid, flatten_levels, split_levels
from ....layers.symbolic import is_symbolic
from ..base import BoxPrediction, DetectionNetwork
from ..lw_detr import box_head, class_head
from .box_rpb import BoxCrossAttention, RPBScale
from .hybrid_loss import HybridSetLoss, RefinedBoxes

_LEVELS = (2., 1., .5, .25)  # resolutions of the maps that propose boxes, over that of the one map
_BORDER = .01  # cells whose centre or size is nearer to nothing, or to the whole image, propose nothing
_MOST_SCALING = math.log(1000 / 16)  # the most that one layer enlarges or shrinks a side, as a logarithm


class Memory(NamedTuple):
    """The map that the decoder reads.

    Attributes:
        tokens: (B, h * w, D).
        positions: What is added to them where they are keys, (h * w, D).
        grid: (h, w).
        limits: Width, height, width and height of the images in pixels, (4,).
    """
    tokens: Tensor
    positions: Tensor
    grid: Grid
    limits: Tensor


class PlainDETR(DetectionNetwork):
    """Boxes of one map, by global attention.

    Args:
        backbone: Any with maps of one stride, which are concatenated: a plain ViT, or the last level of a pyramid.
        num_classes: The number of classes C.
        embed_dim: Width D.
        num_queries: Q, which predict, matched one-to-one.
        num_many_queries: Further queries in training, matched one-to-many; 0 for none.
        num_layers: Layers of the decoder.
        num_heads: Heads of all attentions.
        ffn_dim: Hidden width of the feed-forward layers.
        num_encoder_layers: Layers of global self-attention before the decoder: none in the paper, whose backbone learns
            with the rest; 6 behind DINOv3's frozen trunk.
        upsample: How much finer the map is made first, a power of 2: 2 for the stride 32 of a pyramid's last level.
        proposal_size: Pixels along a side of what the finest of the four proposal maps proposes; each coarser one
            doubles it.
        rpb_hidden_dim: Hidden width of the MLPs of the position bias.
        rpb_scale: ``'linear'`` distances in pixels, or ``'log'``.

    Raises:
        ValueError: The backbone's maps differ in stride; the map would have to be upsampled to less than a pixel or by
            no power of 2; heads or norms do not divide the width.
    """
    loss_class = HybridSetLoss

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        embed_dim: int = 256,
        num_queries: int = 300,
        num_many_queries: int = 1500,
        num_layers: int = 6,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        num_encoder_layers: int = 0,
        upsample: int = 1,
        proposal_size: float = 50.,
        rpb_hidden_dim: int = 512,
        rpb_scale: RPBScale = 'linear',
    ) -> None:
        super().__init__(backbone, num_classes)
        if len(set(backbone.strides)) != 1:
            raise ValueError(f'PlainDETR reads maps of one stride, and those of the backbone have {backbone.strides}: '
                             'set backbone.out_indices to one level of a pyramid, or to blocks of a plain ViT')
        if upsample not in (1, 2, 4, 8) or backbone.strides[0] % (2 * upsample):
            raise ValueError(f'head.upsample={upsample} does not make a finer map of one of stride '
                             f'{backbone.strides[0]}: it is 1, 2, 4 or 8, and half of the new stride is whole')
        if embed_dim % 32:
            raise ValueError(f'head.embed_dim={embed_dim}: the groups of the first norm are 32, use a multiple of it')
        self.num_queries, self.num_many_queries, self.embed_dim = num_queries, num_many_queries, embed_dim
        self.stride, self.proposal_size = backbone.strides[0] // upsample, proposal_size
        width = sum(backbone.out_channels)
        steps = int(math.log2(upsample))
        self.upsample = resample([width // 2**step for step in range(steps + 1)], nn.ConvTranspose2d)
        self.input_proj = nn.Sequential(nn.Conv2d(width // upsample, embed_dim, 1), nn.GroupNorm(32, embed_dim))
        self.level_embed = nn.Parameter(torch.empty(1, embed_dim))
        self.encoder = nn.ModuleList(EncoderLayer(embed_dim, num_heads, ffn_dim) for _ in range(num_encoder_layers))
        self.proposal_maps = nn.ModuleList(
            resample([embed_dim] * (1 + abs(int(math.log2(scale)))),
                     nn.ConvTranspose2d if scale > 1 else nn.Conv2d) for scale in _LEVELS)
        self.proposal_head = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.LayerNorm(embed_dim))
        self.position_head = nn.Sequential(nn.Linear(2 * embed_dim, 2 * embed_dim), nn.LayerNorm(2 * embed_dim))
        self.query_embed = nn.Embedding(num_queries + num_many_queries, embed_dim)
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dim, num_heads, ffn_dim, rpb_hidden_dim, rpb_scale) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dim)
        # Of each layer; the last ones are those of the proposals.
        self.class_head = nn.ModuleList(class_head(embed_dim, num_classes) for _ in range(num_layers + 1))
        self.box_head = nn.ModuleList(box_head(embed_dim) for _ in range(num_layers + 1))
        self._initialise()

    def forward(self, images: Tensor) -> list[RefinedBoxes] | list[BoxPrediction]:
        """(B, 3, H, W) images to predictions: in train mode the cells', then those of both branches of each layer."""
        memory = self.read(images)
        sets = (self.num_queries, self.num_many_queries) if self.training else (self.num_queries, )
        found, references = self.propose(memory, sum(sets))
        positions = self.position_head(box_sines(references[..., [1, 0, 2, 3]], self.embed_dim // 2))
        positions = positions[..., :self.embed_dim]  # the other half would say what queries are, which is learned here
        x = self.query_embed.weight[:sum(sets)].expand(images.shape[0], -1, -1)
        previous = references
        for layer, classify, regress in zip(self.layers, self.class_head, self.box_head, strict=False):
            x = layer(x, positions, references, memory, self.stride, sets)
            y = self.norm(x)
            logits, deltas = classify(y), regress(y).float()
            # Its loss teaches the layer before as well (look forward twice: DINO, arXiv:2203.03605, section 3.5).
            boxes = refine_within(previous, deltas, memory.limits) / memory.limits
            parts = [part.unsqueeze(1).split(sets, dim=2) for part in (logits, boxes, deltas, previous)]
            branches = [RefinedBoxes(*part, memory.limits, role)
                        for *part, role in zip(*parts, ('one', 'many'), strict=False)]
            found += branches[::-1]
            previous = refine_within(references, deltas, memory.limits)
            references = previous.detach()
        return found if self.training else [BoxPrediction(found[-1].logits, found[-1].boxes)]

    def read(self, images: Tensor) -> Memory:
        """(B, 3, H, W) images to the map that the decoder reads."""
        maps = self.input_proj(self.upsample(torch.cat(self.backbone(images), dim=1)))
        grid = tuple(maps.shape[-2:])
        centres = cell_centres(grid, 1, maps.device)
        sines = box_sines(torch.cat((centres, centres), dim=-1), self.embed_dim // 2)  # of y, x, and both again
        positions = sines[:, :self.embed_dim].to(maps.dtype) + self.level_embed
        tokens = flatten_levels([maps])
        for layer in self.encoder:
            tokens = layer(tokens, positions)
        return Memory(tokens, positions, grid, (self.stride * (centres[-1] + .5)).repeat(2))

    def propose(self, memory: Memory, count: int) -> tuple[list[RefinedBoxes], Tensor]:
        """Four maps whose cells propose boxes, of which the best are where the queries begin.

        Args:
            memory: The map that they are made of.
            count: Q, how many are chosen. Images of fewer cells give the best of them several times.

        Returns:
            In train mode the prediction of all cells; and the chosen boxes in pixels, (B, Q, 4), the best first.
        """
        whole = split_levels(memory.tokens, [memory.grid])[0]
        fewest = int(1 / min(_LEVELS))
        height, width = memory.grid
        if not is_symbolic(height, width):  # a cell at least on the coarsest map
            whole = F.pad(whole, (0, max(fewest - width, 0), 0, max(fewest - height, 0)))
        maps = [layer(whole) for layer in self.proposal_maps]
        cells = [proposals_of(tuple(x.shape[-2:]), int(self.stride / scale), self.proposal_size * 2**level, x.device)
                 for level, (x, scale) in enumerate(zip(maps, _LEVELS, strict=True))]
        cells = torch.cat(cells)
        shares = cells / memory.limits
        is_inside = ((shares > _BORDER) & (shares < 1. - _BORDER)).all(-1, keepdim=True)
        cells = torch.where(is_inside, cells, memory.limits.max())
        y = self.proposal_head(flatten_levels(maps) * is_inside)
        logits = self.class_head[-1](y)
        with torch.no_grad():
            scores = logits[..., 0]  # whether there is an object, whatever its class
            num_cells = scores.shape[1]
            best = scores.topk(count if is_symbolic(num_cells) else min(count, num_cells), dim=1).indices
            best = best[:, torch.arange(count, device=best.device) % best.shape[1]].unsqueeze(-1)
            deltas = self.box_head[-1](y.gather(1, best.expand(-1, -1, y.shape[-1]))).float()
            references = refine_within(cells[best.squeeze(-1)], deltas, memory.limits)
        if not self.training:
            return [], references
        deltas = self.box_head[-1](y).float()
        boxes = refine_within(cells, deltas, memory.limits) / memory.limits
        parts = (part.unsqueeze(1) for part in (logits, boxes, deltas, cells.expand(len(y), -1, -1)))
        return [RefinedBoxes(*parts, memory.limits, 'cells')], references

    def _initialise(self) -> None:
        """As the authors do; class and box heads begin as LW-DETR's."""
        for part in (self.upsample, self.input_proj, self.proposal_maps, self.proposal_head, self.position_head):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.level_embed)
        for layer in (*self.encoder, *self.layers):
            for module in layer.modules():
                if isinstance(module, nn.Linear):
                    trunc_normal_(module.weight, std=.02)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)


class EncoderLayer(nn.Module):
    """Global self-attention and a feed-forward layer, each pre-norm (DETR, arXiv:2005.12872, appendix A.3).

    Args:
        dim: Width D.
        num_heads: Attention heads.
        ffn_dim: Hidden width of the feed-forward layer.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attn = Attention(dim, num_heads)
        self.ffn = feed_forward(dim, ffn_dim)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Tokens (B, N, D) attend to each other; positions are added to queries and keys."""
        y = self.norm1(x)
        placed = y + positions
        x = x + self.self_attn(placed, placed, y)
        return x + self.ffn(self.norm2(x))


class DecoderLayer(nn.Module):
    """Self-attention within each set of queries, attention to the whole map, a feed-forward layer, each pre-norm.

    Args:
        dim: Width D.
        num_heads: Heads of both attentions.
        ffn_dim: Hidden width of the feed-forward layer.
        rpb_hidden_dim, rpb_scale: See :class:`.BoxCrossAttention`.
    """

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, rpb_hidden_dim: int, rpb_scale: RPBScale) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.self_attn = Attention(dim, num_heads)
        self.cross_attn = BoxCrossAttention(dim, num_heads, rpb_hidden_dim, rpb_scale)
        self.ffn = feed_forward(dim, ffn_dim)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        boxes: Tensor,
        memory: Memory,
        stride: int,
        sets: Sequence[int],
    ) -> Tensor:
        """Queries (B, Q, D) with their positions and boxes in pixels (B, Q, 4), of sets that do not see each other."""
        y = self.norm1(x)
        parts = zip((y + positions).split(sets, dim=1), y.split(sets, dim=1), strict=True)
        x = x + torch.cat([self.self_attn(placed, placed, value) for placed, value in parts], dim=1)
        key = memory.tokens + memory.positions
        x = x + self.cross_attn(self.norm2(x) + positions, boxes, key, memory.tokens, memory.grid, stride)
        return x + self.ffn(self.norm3(x))


def feed_forward(dim: int, hidden_dim: int) -> nn.Sequential:
    """Two linear layers with a ReLU between."""
    return nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim))


def resample(widths: Sequence[int], layer: type[nn.Conv2d] | type[nn.ConvTranspose2d]) -> nn.Sequential:
    """Layers that halve or double the resolution, from width to width, with a norm over channels and a GELU between."""
    parts: list[nn.Module] = []
    for before, after in zip(widths, widths[1:], strict=False):
        parts += [layer(before, after, 2, stride=2), LayerNorm2d(after, eps=1e-5), nn.GELU()]
    return nn.Sequential(*parts[:-2])


def cell_centres(grid: Grid, stride: int, device: torch.device) -> Tensor:
    """The x and y of all cells, row by row, in pixels, (h * w, 2)."""
    y, x = ((torch.arange(n, device=device, dtype=torch.float32) + .5) * stride for n in grid)
    h, w = grid
    return torch.stack((x.expand(h, w), y.unsqueeze(1).expand(h, w)), dim=-1).flatten(0, 1)


def proposals_of(grid: Grid, stride: int, size: float, device: torch.device) -> Tensor:
    """The box that each cell proposes before it is refined: centre, width and height in pixels, (h * w, 4)."""
    centres = cell_centres(grid, stride, device)
    return torch.cat((centres, torch.full_like(centres, size)), dim=-1)


def refine_within(boxes: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
    """Boxes (..., 4), centre, width and height in pixels, refined by differences and cut at the border of the image.

    Args:
        boxes: What is refined.
        deltas: See :func:`densevit.layers.boxes.refine_boxes`; what is more than a factor of 62.5 is cut.
        limits: Width, height, width and height of the image.
    """
    shift, scale = deltas.split(2, dim=-1)
    deltas = torch.cat((shift, scale.clamp(-_MOST_SCALING, _MOST_SCALING)), dim=-1)
    return to_centres(to_corners(refine_boxes(boxes, deltas)).clamp(min=0.).clamp(max=limits))
