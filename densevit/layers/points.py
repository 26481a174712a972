"""Point sampling on mask logits (PointRend, arXiv:1912.08193; used by Mask2Former, arXiv:2112.01527, section 3.3)."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Values of maps at points, bilinear.

    Args:
        maps: (N, C, H, W).
        points: (N, P, 2), x and y in [0, 1] over the whole map.

    Returns:
        (N, C, P).
    """
    return F.grid_sample(maps, 2. * points.unsqueeze(2) - 1., align_corners=False).squeeze(3)


@torch.no_grad()
def uncertain_points(
    logits: Tensor,
    num_points: int,
    oversample_ratio: float = 3.,
    importance_sample_ratio: float = .75,
) -> Tensor:
    """Points of which a share lies where the mask logits are nearest to 0.

    Args:
        logits: (N, 1, H, W).
        num_points: P.
        oversample_ratio: Candidates drawn per point.
        importance_sample_ratio: The share taken from the most uncertain candidates; the rest is uniform.

    Returns:
        (N, P, 2), x and y in [0, 1].
    """
    candidates = torch.rand(logits.shape[0], int(num_points * oversample_ratio), 2, device=logits.device)
    uncertainty = -sample_points(logits, candidates).squeeze(1).abs()
    num_uncertain = int(importance_sample_ratio * num_points)
    nearest = uncertainty.topk(num_uncertain, dim=1).indices  # (N, P_u)
    chosen = candidates.gather(1, nearest.unsqueeze(2).expand(-1, -1, 2))
    uniform = torch.rand(logits.shape[0], num_points - num_uncertain, 2, device=logits.device)
    return torch.cat((chosen, uniform), dim=1)
