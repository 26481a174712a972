"""DEIMv2 (arXiv:2509.20787) and D-FINE (arXiv:2410.13842) on any plain ViT or hierarchical backbone."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ....backbones.contract import Backbone
from ....layers.levels import Grid, flatten_levels
from ..base import DetectionNetwork
from ..lw_detr import class_head, mlp, proposal_boxes
from ..projector import ConvNormAct
from ..set_loss import BoxTarget
from .decoder import DecoderLayer, LocationQuality, Style
from .denoising import add_noise, attention_mask
from .edges import bin_values, boxes_of_distances
from .hybrid_encoder import Fusion, HybridEncoder
from .loss import DEIMLoss
from .prediction import EdgeBins, EdgePrediction
from .spatial_tuning import LevelProjections, SpatialTuningAdapter

_BORDER = .01  # cells whose centre is nearer to the border propose nothing
_EPS = 1e-5  # boxes are kept so far from 0 and 1 before their logits are taken
_ACTIVATIONS = dict(relu=nn.ReLU, silu=nn.SiLU)


class DEIM(DetectionNetwork):
    """Boxes whose edges are distributions that every decoder layer refines.

    A plain ViT gets a convolutional pyramid beside it (spatial tuning adapter); the levels of a hierarchical backbone
    are used as they are. A hybrid encoder fuses the levels, whose best cells are where the queries begin. The first
    layer of the decoder predicts a box as DETR does; from there each layer corrects distributions of its four edges.

    The defaults are DEIMv2's. D-FINE has ``fusion='cat'``, ``branch_convs=True``, ``style='d-fine'``,
    ``activation='relu'``, ``project_proposals=True`` and ``update_positions=True``.

    Args:
        backbone: A plain ViT with three ``out_indices`` (or one), or a backbone with maps of rising strides, such as
            8, 16 and 32.
        num_classes: The number of classes C.
        embed_dim: Width D of the decoder.
        num_queries: Q.
        num_layers: Layers of the decoder.
        num_heads: Heads of all attentions.
        num_points: Points that a head samples on each level.
        ffn_dim: Hidden width of the decoder's feed-forward layers.
        encoder_dim: Width of the levels in the encoder; that of the decoder by default.
        encoder_ffn_dim: Hidden width of the encoder's feed-forward layer.
        side_dim: Width of the stem of the pyramid beside a plain ViT.
        fusion: Whether the encoder adds two levels (``'sum'``) or joins them (``'cat'``).
        expansion: Width of its branches over half of ``encoder_dim``.
        num_blocks: Convolutions of each branch.
        branch_convs: Whether each branch ends with a 3x3 convolution.
        style: Norms and feed-forward layers of the decoder, see :class:`.decoder.DecoderLayer`.
        activation: ``'silu'`` or ``'relu'``, of the heads.
        position_dims: Hidden widths of what makes positions of boxes; (D, D) by default, of D-FINE (2 * D, ).
        project_proposals: Whether a linear layer and a norm stand before the heads of the proposals.
        update_positions: Whether positions follow the boxes from layer to layer.
        num_bins: N, see :mod:`.edges`.
        bin_bound: a in the same place.
        bin_scale: c in the same place; D-FINE-X has 8.
        num_denoising: About how many noised objects an image has in training; 0 for none.
        label_noise, box_noise: See :func:`.denoising.add_noise`.

    Raises:
        ValueError: The maps of the backbone are of no use, or ``num_points`` is not one number for each level.
    """
    loss_class = DEIMLoss
    class_parts = ('class_head', 'class_heads', 'noise_embed')
    takes_targets = True

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        embed_dim: int = 256,
        num_queries: int = 300,
        num_layers: int = 4,
        num_heads: int = 8,
        num_points: Sequence[int] = (3, 6, 3),
        ffn_dim: int = 2048,
        encoder_dim: int | None = None,
        encoder_ffn_dim: int = 1024,
        side_dim: int = 16,
        fusion: Fusion = 'sum',
        expansion: float = 1.,
        num_blocks: int = 3,
        branch_convs: bool = False,
        style: Style = 'deimv2',
        activation: Literal['silu', 'relu'] = 'silu',
        position_dims: Sequence[int] | None = None,
        project_proposals: bool = False,
        update_positions: bool = False,
        num_bins: int = 32,
        bin_bound: float = .5,
        bin_scale: float = 4.,
        num_denoising: int = 100,
        label_noise: float = .5,
        box_noise: float = 1.,
    ) -> None:
        super().__init__(backbone, num_classes)
        self.num_queries, self.num_bins, self.update_positions = num_queries, num_bins, update_positions
        self.num_denoising, self.label_noise, self.box_noise = num_denoising, label_noise, box_noise
        dim, levels_dim, act = embed_dim, encoder_dim or embed_dim, _ACTIVATIONS[activation]
        self.is_plain = len(set(backbone.strides)) == 1
        if self.is_plain:
            self.levels = SpatialTuningAdapter(backbone.out_channels, side_dim, levels_dim)
        else:
            self.levels = LevelProjections(backbone.out_channels, levels_dim)
        num_levels = len(self.levels.fuse)
        if len(num_points) != num_levels:
            raise ValueError(f'DEIM has {num_levels} levels on this backbone, and head.num_points has '
                             f'{len(num_points)} numbers: give one for each level')
        self.encoder = HybridEncoder(
            levels_dim, num_levels, num_heads, encoder_ffn_dim, fusion, expansion, num_blocks, branch_convs)
        self.memory_projections = nn.ModuleList(
            nn.Identity() if levels_dim == dim else ConvNormAct(levels_dim, dim, activation=nn.Identity)
            for _ in range(num_levels))
        self.proposals = ProposalHead(dim, num_classes, act, project_proposals)
        self.noise_embed = nn.Embedding(num_classes + 1, dim, padding_idx=num_classes) if num_denoising else None
        self.position_head = _head((4, *(position_dims or (dim, dim)), dim), act)
        self.layers = nn.ModuleList(
            DecoderLayer(dim, num_heads, num_points, ffn_dim, style) for _ in range(num_layers))
        self.first_box_head = _from_zero(mlp(dim, dim, 4, 3, act))
        self.edge_heads = nn.ModuleList(
            _from_zero(mlp(dim, dim, 4 * (num_bins + 1), 3, act)) for _ in range(num_layers))
        self.class_heads = nn.ModuleList(class_head(dim, num_classes) for _ in range(num_layers))
        self.quality_heads = nn.ModuleList(LocationQuality(act) for _ in range(num_layers))
        self.register_buffer('bin_bound', torch.tensor([bin_bound]))
        self.register_buffer('bin_scale', torch.tensor([bin_scale]))

    @property
    def size_divisor(self) -> int:
        """The stride of the coarsest level."""
        return 32 if self.is_plain else super().size_divisor

    def forward(self, images: Tensor, targets: Sequence[BoxTarget] | None = None) -> list[EdgePrediction]:
        """(B, 3, H, W) images to predictions.

        In train mode those of the proposals, of the first layer before its distributions, and of all layers, with
        denoising queries if there are ``targets``; else the last layer's.
        """
        maps = self.encoder(self.levels(images, self.backbone(images)))
        maps = [project(x) for project, x in zip(self.memory_projections, maps, strict=True)]
        memory, grids = flatten_levels(maps), [tuple(x.shape[-2:]) for x in maps]
        proposals, x = self.propose(memory, grids)
        references, mask, groups = proposals.boxes[:, 0].detach(), None, 0
        if self.training and self.noise_embed is not None and targets is not None:
            noise = add_noise(targets, self.num_classes, self.num_denoising, self.label_noise, self.box_noise)
            groups, size = noise.labels.shape[1:]
            mask = attention_mask(groups, size, x.shape[1], x.device)
            x = torch.cat((self.noise_embed(noise.labels.flatten(1)).to(x.dtype), x), dim=1)
            references = torch.cat((noise.boxes.flatten(1, 2).to(references.dtype), references), dim=1)
        predictions = self.decode(x, references, memory, grids, mask)
        if not self.training:
            return [_split(predictions[-1], 0, x.shape[1])._replace(edges=None)]
        return [proposals, *(_split(each, groups, proposals.logits.shape[2]) for each in predictions)]

    def propose(self, memory: Tensor, grids: Sequence[Grid]) -> tuple[EdgePrediction, Tensor]:
        """The best cells of all levels as boxes, the best first.

        Args:
            memory: (B, N, D), all levels.
            grids: (h, w) of each level.

        Returns:
            What they predict, and their features without gradients, (B, Q, D).
        """
        cells = proposal_boxes(grids, memory.device)  # in single precision, as all boxes
        is_inside = ((cells > _BORDER) & (cells < 1. - _BORDER)).all(-1, keepdim=True)
        # A large logit is a box as large as the image.
        cells = torch.where(is_inside, cells.logit(_EPS), 1e4)
        x = self.proposals.features(memory * is_inside.to(memory.dtype))
        logits = self.proposals.class_head(x)
        count = min(self.num_queries, memory.shape[1])  # of an image smaller than the queries
        best = logits.detach().amax(-1).topk(count, dim=1).indices.unsqueeze(-1)
        x, logits = (y.gather(1, best.expand(-1, -1, y.shape[-1])) for y in (x, logits))
        boxes = (self.proposals.box_head(x).float() + cells[best.squeeze(-1)]).sigmoid()
        return EdgePrediction(logits.unsqueeze(1), boxes.unsqueeze(1)), x.detach()

    def decode(
        self,
        x: Tensor,
        references: Tensor,
        memory: Tensor,
        grids: Sequence[Grid],
        mask: Tensor | None,
    ) -> list[EdgePrediction]:
        """Queries (B, Q, D) at boxes (B, Q, 4) to what each layer predicts, the first twice; in eval mode the last."""
        bound, scale = self.bin_bound.float(), self.bin_scale.float()
        values = bin_values(self.num_bins, bound, scale)
        predictions, edges, before = [], 0., 0.
        positions = self.positions(references.to(memory.dtype))
        for index, (layer, edge_head, to_logits, to_quality) in enumerate(
                zip(self.layers, self.edge_heads, self.class_heads, self.quality_heads, strict=True)):
            if index and self.update_positions:
                positions = self.positions(references.to(memory.dtype))
            x = layer(x, positions, references, memory, grids, mask)
            if index == 0:
                first = (self.first_box_head(x).float() + references.logit(_EPS)).sigmoid()
                start = first.detach()
            edges = edges + edge_head(x + before).unflatten(-1, (4, -1))
            boxes = boxes_of_distances(start, edges.float().softmax(-1) @ values, scale)
            if self.training or index == len(self.layers) - 1:
                logits = to_logits(x)
                if index == 0 and self.training:
                    predictions.append(EdgePrediction(logits, first))
                predictions.append(EdgePrediction(
                    logits + to_quality(edges), boxes, edges=EdgeBins(edges, start, values, scale)))
            references, before = boxes.detach(), x.detach()
        return predictions

    def positions(self, boxes: Tensor) -> Tensor:
        """What is added to queries at boxes (B, Q, 4): (B, Q, D)."""
        return self.position_head(boxes).clamp(-10., 10.)


class ProposalHead(nn.Module):
    """Which cells are objects, and their boxes.

    Args:
        dim: Width D of the cells.
        num_classes: The number of classes C.
        activation: The class of the activation.
        project: Whether a linear layer and a norm come first.
    """

    def __init__(self, dim: int, num_classes: int, activation: type[nn.Module], project: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim)) if project else nn.Identity()
        self.class_head = class_head(dim, num_classes)
        self.box_head = _from_zero(mlp(dim, dim, 4, 3, activation))


def _head(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers of these widths with activations between."""
    parts = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*parts[:-1])


def _from_zero(head: nn.Sequential) -> nn.Sequential:
    """A head whose answers begin at zero."""
    nn.init.zeros_(head[-1].weight)
    nn.init.zeros_(head[-1].bias)
    return head


def _split(prediction: EdgePrediction, groups: int, num_queries: int) -> EdgePrediction:
    """Predictions (B, N, ...) as those of the last Q queries, (B, 1, Q, ...), and of the G groups before them."""
    def part(x: Tensor, noised: bool) -> Tensor:
        return x[:, :-num_queries].unflatten(1, (groups, -1)) if noised else x[:, -num_queries:].unsqueeze(1)

    def of(noised: bool) -> EdgePrediction:
        edges = prediction.edges
        if edges is not None:
            edges = edges._replace(logits=part(edges.logits, noised), references=part(edges.references, noised))
        return EdgePrediction(part(prediction.logits, noised), part(prediction.boxes, noised), edges=edges)

    return of(False)._replace(noised=of(True) if groups else None)
