"""Tells how an image was degraded by the features of a restoration network (MaskDCPT, Hu et al., arXiv:2510.13282)."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from timm.models.resnet import BasicBlock
from torch import Tensor, nn


class DegradationClassifier(nn.Module):
    """Blocks of a ResNet with layer norms, to each of which one more stage's features are added (section IV-B).

    Each block halves the resolution and doubles the channels, up to eight times those of the first, as ResNet-18's do.
    The paper scales features by learned numbers before they join; how they get the size and the channels of where they
    join is not told: here they are averaged over areas and go through a convolution of one pixel.

    Args:
        channels: Of each stage's features, in the order in which they run.
        num_degradations: The number of kinds of degradation.
        width: Channels of the first block; 64 in ResNet-18.

    Raises:
        ValueError: There are fewer than two kinds to tell apart.
    """

    def __init__(self, channels: Sequence[int], num_degradations: int, width: int = 64) -> None:
        if num_degradations < 2:
            raise ValueError(f'num_degradations={num_degradations}: give 2 or more, for one kind tells nothing')
        super().__init__()
        widths = [min(2**index, 8) * width for index in range(len(channels))]
        self.scales = nn.Parameter(torch.ones(len(channels)))
        self.projections = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for given, entering, leaving in zip(channels, [width, *widths], widths, strict=False):
            self.projections.append(nn.Conv2d(given, entering, 1))
            shortcut = nn.Sequential(nn.Conv2d(entering, leaving, 1, stride=2, bias=False), LayerNorm2d(leaving))
            self.blocks.append(BasicBlock(entering, leaving, stride=2, downsample=shortcut, norm_layer=LayerNorm2d))
        self.fc = nn.Linear(widths[-1], num_degradations)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features (B, C_i, h_i, w_i) of all stages to logits (B, num_degradations)."""
        x = None
        for scale, projection, block, feature in zip(self.scales, self.projections, self.blocks, features, strict=True):
            if x is None:
                x = projection(scale * feature)
            else:
                x = x + projection(F.adaptive_avg_pool2d(scale * feature, x.shape[-2:]))
            x = block(x)
        return self.fc(x.mean((2, 3)))


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.) -> Tensor:
    """The mean of ``-(1 - p)^gamma log p`` of the true classes, by softmax (Lin et al., arXiv:1708.02002, equation 5).

    Args:
        logits: (B, K).
        labels: (B, ), int64.
        gamma: How much less what is known already counts; 2 is its authors' choice.
    """
    log_p = logits.float().log_softmax(1).gather(1, labels[:, None])[:, 0]
    return -((1 - log_p.exp())**gamma * log_p).mean()
