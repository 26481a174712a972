"""Multi-scale deformable attention: Deformable DETR (arXiv:2010.04159), section 4.1."""
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import starmap

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .deformable_bags import deformable_bags


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """Weighted sums of bilinear samples of L feature maps, eq. 3; what lies outside of a map counts as 0.

    Args:
        value: (B, S, M, D), the maps of all levels, each flattened by rows, one after another; M heads.
        spatial_shapes: (height, width) of each level; S is the sum of their products.
        locations: (B, Q, M, L, P, 2), x and y in [0, 1] over a whole map; P points a level.
        weights: (B, Q, M, L, P).

    Returns:
        (B, Q, M * D), of the dtype of `value`; sums are in single precision at least.

    Raises:
        ValueError: If S or L is not what `spatial_shapes` says.
    """
    num_pixels = sum(h * w for h, w in spatial_shapes)
    if value.shape[1] != num_pixels or weights.shape[3] != len(spatial_shapes):
        raise ValueError(f'{value.shape[1]} values and weights for {weights.shape[3]} levels, but spatial_shapes='
                         f'{list(spatial_shapes)} means {num_pixels} values in {len(spatial_shapes)} levels')
    if value.device.type == 'cpu' and not _is_exporting():
        return deformable_bags(value, [side for shape in spatial_shapes for side in shape], locations, weights)
    parts = value.split([h * w for h, w in spatial_shapes], 1)
    levels = zip(parts, spatial_shapes, locations.unbind(3), weights.unbind(3), strict=True)
    return reduce(torch.add, starmap(_attend_level, levels)).to(value.dtype)


def _is_exporting() -> bool:
    """Whether operators that every other runtime knows are asked for."""
    # PyTorch 2.6 does not tell torch.export from torch.compile.
    being_exported = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)
    return being_exported() or torch.jit.is_tracing()


def _attend_level(value: Tensor, shape: tuple[int, int], locations: Tensor, weights: Tensor) -> Tensor:
    """The part of one level in the sum: value (B, H*W, M, D), locations (B, Q, M, P, 2), weights (B, Q, M, P)."""
    dtype = torch.promote_types(value.dtype, torch.float32)
    maps = value.to(dtype).permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, shape)  # (B*M, D, H, W)
    grid = (2. * locations.to(dtype) - 1.).transpose(1, 2).flatten(0, 1)  # (B*M, Q, P, 2)
    samples = F.grid_sample(maps, grid, align_corners=False)  # (B*M, D, Q, P)
    sums = (samples * weights.to(dtype).transpose(1, 2).flatten(0, 1).unsqueeze(1)).sum(-1)  # (B*M, D, Q)
    return sums.unflatten(0, (value.shape[0], -1)).flatten(1, 2).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Attention that samples a few learned points around a reference, section 4.1 and appendix A.2.

    Args:
        embed_dim: Width of queries, values and outputs.
        num_heads: M.
        num_levels: L.
        num_points: P, a level.
        value_ratio: Width of the projected values over `embed_dim` (ViT-Adapter, arXiv:2205.08534: `deform_ratio`).

    Raises:
        ValueError: If the widths are not divisible by the number of heads.
    """

    def __init__(
        self,
        embed_dim: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        value_ratio: float = 1.,
    ) -> None:
        super().__init__()
        value_dim = int(embed_dim * value_ratio)
        if value_dim < 1 or value_dim % num_heads:
            raise ValueError(f'{num_heads} heads do not divide the width {value_dim} of the values (embed_dim='
                             f'{embed_dim} times value_ratio={value_ratio}); choose a num_heads that does')
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = nn.Linear(embed_dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(embed_dim, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(embed_dim, value_dim)
        self.output_proj = nn.Linear(value_dim, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Points of each head on a ray of its own, point p at p pixels (appendix A.2); equal weights."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        rays = torch.stack((angles.cos(), angles.sin()), -1)
        rays = rays / rays.abs().amax(-1, keepdim=True)  # onto the square ring around the reference
        steps = torch.arange(1, self.num_points + 1).view(1, 1, -1, 1)
        offsets = (rays[:, None, None] * steps).expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())
        for tensor in (self.sampling_offsets.weight, self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(tensor)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        value: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend from each query to the points around its references.

        Args:
            query: (B, Q, embed_dim).
            reference_points: (B or 1, Q, L or 1, 2), x and y in [0, 1] over a whole map, or (..., 4): centre, width
                and height of a box, of which the offsets are then fractions.
            value: (B, S, embed_dim), the maps of all levels, each flattened by rows, one after another.
            spatial_shapes: (height, width) of each level.
            key_padding_mask: (B, S), true where a value counts as 0.

        Returns:
            (B, Q, embed_dim).

        Raises:
            ValueError: If the shapes do not fit together.
        """
        if len(spatial_shapes) != self.num_levels:
            raise ValueError(f'{len(spatial_shapes)} spatial shapes for num_levels={self.num_levels}')
        heads = value.shape[:2] + (self.num_heads, -1)
        values = self.value_proj(value)
        if key_padding_mask is not None:
            values = values.masked_fill(key_padding_mask.unsqueeze(-1), 0.)
        points = query.shape[:2] + (self.num_heads, self.num_levels, self.num_points)
        locations = self._locations(self.sampling_offsets(query).view(*points, 2), reference_points, spatial_shapes)
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1).view(points)
        return self.output_proj(multi_scale_deformable_attention(
            values.view(heads), spatial_shapes, locations, weights))

    def _locations(self, offsets: Tensor, references: Tensor, spatial_shapes: Sequence[tuple[int, int]]) -> Tensor:
        levels, points = offsets.shape[3:5]
        if references.shape[-1] not in (2, 4):
            raise ValueError(f'reference_points have {references.shape[-1]} coordinates; '
                             'give 2 (x, y) or 4 (x, y, width, height)')
        # Laid out as the offsets are, for a CPU takes several times as long to broadcast over so few numbers.
        references = references[:, :, None, :, None].expand(-1, -1, -1, levels, points, -1)
        centres = references[..., :2].contiguous()
        if references.shape[-1] == 4:
            return centres + offsets * (references[..., 2:] * (.5 / points))
        # `new_full` and not `new_tensor`, which would fix the sizes of an export.
        sizes = torch.stack([offsets.new_full((), side) for shape in spatial_shapes for side in reversed(shape)])
        return centres + offsets / sizes.view(levels, 1, 2).expand(-1, points, -1).contiguous()
