"""Binary cross-entropy and dice of masks at points, of pairs and of all with all (Mask2Former, arXiv:2112.01527)."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dice_loss(logits: Tensor, inside: Tensor) -> Tensor:
    """Dice loss of each mask with its own segment: (n, P) and (n, P) to (n,)."""
    probs = logits.sigmoid()
    return 1. - (2. * (probs * inside).sum(1) + 1.) / (probs.sum(1) + inside.sum(1) + 1.)


def pairwise_bce(logits: Tensor, inside: Tensor) -> Tensor:
    """Mean binary cross-entropy, softplus(x) - x t, of every mask with every segment: (Q, P), (n, P) to (Q, n)."""
    return (F.softplus(logits).sum(1, keepdim=True) - logits @ inside.T) / logits.shape[1]


def pairwise_dice(logits: Tensor, inside: Tensor) -> Tensor:
    """Dice loss of every mask with every segment: (Q, P) and (n, P) to (Q, n)."""
    probs = logits.sigmoid()
    return 1. - (2. * probs @ inside.T + 1.) / (probs.sum(1)[:, None] + inside.sum(1)[None] + 1.)
