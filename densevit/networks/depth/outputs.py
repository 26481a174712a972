"""How a depth is made of what a last convolution gives: one channel through an activation, or a mixture of bins.

Depth is computed in single precision whatever the convolutions ran in, for half precision has no digit below a
centimetre beyond 8 m.
"""
from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal['relu', 'sigmoid', 'exp', 'disparity']
Spacing = Literal['linear', 'log', 'mixlog']
Normalisation = Literal['linear', 'softmax', 'sigmoid']


class DirectDepth(nn.Module):
    """One channel through an activation.

    Args:
        activation: ``'relu'``: max(x, 0) + ``min_depth`` (DPT, MiDaS, Depth Anything, DINOv2's DPT). ``'sigmoid'``: a
            share of ``max_depth`` (Depth Anything V2 metric). ``'exp'``: e^x, which keeps the relative error of near
            and far (Depth Anything 3). ``'disparity'``: ``1 / (a s + b)`` of a sigmoid s, with a and b so that depth
            lies between ``min_depth`` and ``max_depth`` (Monodepth2, arXiv:1806.01260, section 4: 0.1 and 100).
        min_depth, max_depth: The least and the greatest depth; None for no bound.

    Raises:
        ValueError: The activation is unknown, or its bound is lacking or in vain.
    """
    num_channels = 1

    def __init__(self, activation: Activation, min_depth: float = 0., max_depth: float | None = None) -> None:
        super().__init__()
        if activation not in ('relu', 'sigmoid', 'exp', 'disparity'):
            raise ValueError(f"activation='{activation}': choose 'relu', 'sigmoid', 'exp' or 'disparity'")
        if activation == 'disparity' and not 0 < min_depth < (max_depth or 0):
            raise ValueError(f"activation='disparity' gives depth between min_depth={min_depth} and "
                             f'max_depth={max_depth}: set both, such as min_depth=.1 and max_depth=100.')
        if activation == 'sigmoid' and max_depth is None:
            raise ValueError("activation='sigmoid' gives shares of max_depth: set it, such as max_depth=10.")
        if activation in ('sigmoid', 'exp') and min_depth:
            raise ValueError(f"min_depth is added behind a relu; leave it out with activation='{activation}'")
        self.activation, self.min_depth, self.max_depth = activation, min_depth, max_depth

    def forward(self, x: Tensor) -> Tensor:
        """Depth (B, h, w) of (B, 1, h, w)."""
        x = x.float().squeeze(1)
        if self.activation == 'relu':
            return x.relu() + self.min_depth
        if self.activation == 'disparity':
            least, most = 1 / self.max_depth, 1 / self.min_depth
            return 1 / (least + (most - least) * x.sigmoid())
        return x.sigmoid() * self.max_depth if self.activation == 'sigmoid' else x.exp()


class BinnedDepth(nn.Module):
    """The mean of bins that cover the range of depths, weighted by their probabilities.

    Classification and regression in one, as in AdaBins (arXiv:2011.14141, equation 3) with bins that are the same for
    all images: DINOv2 (arXiv:2304.07193, section 7.4) has 256 linear ones with a linear normalisation, Meta's canopy
    heights of DINOv3 (CHMv2) ``spacing='mixlog', floor=1e-8``.

    Args:
        num_bins: N.
        spacing: Of the N centres c_k, with t_k = k / (N - 1). ``'linear'``: from ``min_depth`` to ``max_depth`` at
            equal differences. ``'log'``: at equal ratios. ``'mixlog'``: (1 - t_k) log_k + t_k linear_k, near ones at
            ratios and far ones at differences; the least is 8 ``min_depth``, as CHMv2 has it.
        norm: What makes probabilities of the channels x_k. ``'linear'``: max(x_k, 0) + ``floor``, divided by the sum.
            ``'softmax'``. ``'sigmoid'``: of each, divided by the sum.
        floor: What every bin gets with ``norm='linear'``, so that no bin is without a gradient for ever.
        min_depth, max_depth: The range in metres.

    Raises:
        ValueError: A strategy is unknown, there are fewer than two bins, or the range is none.
    """
    centres: Tensor

    def __init__(
        self,
        num_bins: int = 256,
        spacing: Spacing = 'linear',
        norm: Normalisation = 'linear',
        floor: float = .1,
        min_depth: float = 1e-3,
        max_depth: float | None = None,
    ) -> None:
        super().__init__()
        if norm not in ('linear', 'softmax', 'sigmoid'):
            raise ValueError(f"bins.norm='{norm}': choose 'linear', 'softmax' or 'sigmoid'")
        if num_bins < 2:
            raise ValueError(f'bins.num_bins={num_bins}: a range has two or more bins')
        if max_depth is None or not 0 <= min_depth < max_depth:
            raise ValueError(f'bins lie between min_depth={min_depth} and max_depth={max_depth}: set both, in metres')
        self.num_channels = num_bins
        self.norm, self.floor = norm, floor
        # It follows from the options, and checkpoints of others have none.
        self.register_buffer('centres', bin_centres(num_bins, spacing, min_depth, max_depth), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Depth (B, h, w) of (B, N, h, w)."""
        return mix(probabilities(x, self.norm, self.floor), self.centres)


def build_output(
    activation: Activation,
    bins: dict[str, object] | None,
    min_depth: float,
    max_depth: float | None,
) -> DirectDepth | BinnedDepth:
    """The output of a head; ``bins``, options of :class:`BinnedDepth`, win over ``activation``.

    Raises:
        ValueError: Options do not go together.
    """
    if bins is None:
        return DirectDepth(activation, min_depth, max_depth)
    try:
        return BinnedDepth(**bins, min_depth=min_depth, max_depth=max_depth)
    except TypeError as error:
        raise ValueError(f'bins takes num_bins, spacing, norm and floor: {error}') from None


def bin_centres(num_bins: int, spacing: Spacing, min_depth: float, max_depth: float) -> Tensor:
    """(N,) centres in metres, ascending; see :class:`BinnedDepth`.

    Raises:
        ValueError: The spacing is unknown, or begins at 0 where it knows ratios only.
    """
    if spacing == 'linear':
        return torch.linspace(min_depth, max_depth, num_bins)
    if spacing not in ('log', 'mixlog'):
        raise ValueError(f"bins.spacing='{spacing}': choose 'linear', 'log' or 'mixlog'")
    if min_depth == 0:
        raise ValueError(f"bins.spacing='{spacing}' has ratios: set min_depth > 0")
    if spacing == 'log':
        return torch.linspace(math.log(min_depth), math.log(max_depth), num_bins).exp()
    near, far = (bin_centres(num_bins, other, 8 * min_depth, max_depth) for other in ('log', 'linear'))
    return torch.lerp(near, far, torch.linspace(0, 1, num_bins))


def probabilities(x: Tensor, norm: Normalisation, floor: float) -> Tensor:
    """Probabilities of the channels (B, N, h, w), in single precision; see :class:`BinnedDepth`."""
    x = x.float()
    if norm == 'softmax':
        return x.softmax(1)
    x = x.sigmoid() if norm == 'sigmoid' else x.relu() + floor
    return F.normalize(x, p=1, dim=1)


def mix(shares: Tensor, centres: Tensor) -> Tensor:
    """The mean depth (B, h, w) of probabilities (B, N, h, w) of bins with centres (N,) or (B, N)."""
    with torch.autocast(shares.device.type, enabled=False):
        return torch.einsum('bnhw,n->bhw' if centres.dim() == 1 else 'bnhw,bn->bhw', shares, centres.float())
