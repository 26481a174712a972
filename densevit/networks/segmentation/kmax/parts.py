"""What the pixel decoder and the decoder of k-means Mask Transformer are made of."""
from __future__ import annotations

from collections import OrderedDict

from timm.layers import trunc_normal_tf_
from torch import nn


def batch_norm(channels: int, dims: int, scale: float = 1.) -> nn.Module:
    """The batch norm of DeepLab's networks, over (B, C, N) or (B, C, h, w), with weights that start at ``scale``."""
    norm = (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1](channels, eps=1e-3, momentum=.01)
    nn.init.constant_(norm.weight, scale)
    return norm


class ConvNorm(nn.Sequential):
    """A convolution, batch norm and GELU, of (B, C, N) or (B, C, h, w).

    Norm and activation stay apart, unlike in timm's ``ConvNormAct``: PyTorch's conversion to synchronised norms would
    lose an activation inside the norm.

    Args:
        in_channels, out_channels, kernel_size, groups, dilation, bias: Arguments of the convolution, which keeps the
            size.
        dims: 1 or 2.
        act: Whether there is an activation.
        scale: What the norm's weights start at; 0 where a residual branch ends.
        std: Standard deviation of the initial weights; None for sqrt(2 / in_channels), Xavier's for depthwise ones.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        dims: int = 2,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        act: bool = True,
        scale: float = 1.,
        std: float | None = None,
    ) -> None:
        conv = (nn.Conv1d, nn.Conv2d)[dims - 1](
            in_channels, out_channels, kernel_size, padding=dilation * (kernel_size // 2), groups=groups,
            dilation=dilation, bias=bias)
        if groups > 1:
            nn.init.xavier_uniform_(conv.weight)
        else:
            trunc_normal_tf_(conv.weight, std=(2 / in_channels)**.5 if std is None else std)
        if bias:
            nn.init.zeros_(conv.bias)
        super().__init__(OrderedDict(conv=conv, norm=batch_norm(out_channels, dims, scale),
                                     act=nn.GELU() if act else nn.Identity()))


def depthwise(channels: int, out_channels: int) -> nn.Sequential:
    """A 5 x 5 depthwise and a 1 x 1 convolution, each with norm and activation."""
    return nn.Sequential(ConvNorm(channels, channels, 5, groups=channels), ConvNorm(channels, out_channels))
