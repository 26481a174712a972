"""Hungarian matching of predictions with targets, as in DETR (arXiv:2005.12872, section 3.1), for any task."""
from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Match = tuple[Tensor, Tensor]


@torch.no_grad()
def hungarian_match(scores: Tensor, maximize: bool = False) -> Match:
    """Pairs of predictions and targets with the least total cost, each used once at most; found on the CPU.

    A pair whose score is NaN or infinite is made only if nothing else is left, so that a diverging step ends in a loss
    that is not finite, which a run reports, and not in an error of the solver.

    Args:
        scores: (Q, n), the cost of each prediction with each target.
        maximize: Whether the scores are similarities, whose sum is made as large as can be.

    Returns:
        Indices of predictions, ascending, and of their targets, both (min(Q, n),) and int64, on the device of
        ``scores``.
    """
    cost = scores.cpu().double().numpy()
    cost = -cost if maximize else cost
    finite = np.isfinite(cost)
    if not finite.all():
        least, most = (cost[finite].min(), cost[finite].max()) if finite.any() else (0., 0.)
        # Dearer than all the finite pairs that it could replace, and no more: huge costs would swallow the others.
        cost = np.where(finite, cost, most + (most - least + 1.) * min(cost.shape))
    predictions, targets = linear_sum_assignment(cost)
    return torch.as_tensor(predictions, device=scores.device), torch.as_tensor(targets, device=scores.device)
