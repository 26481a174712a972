"""Upscaling of a plain ViT's feature map."""
from __future__ import annotations

from timm.layers import LayerNorm2d
from torch import Tensor, nn


class ScaleBlock(nn.Module):
    """Doubles the resolution of a feature map (EoMT, arXiv:2503.19108, section 3.1).

    Transposed 2x2 convolution, GELU, depthwise 3x3 convolution and a LayerNorm over channels:
    (B, D, h, w) -> (B, D', 2h, 2w), with D' = D unless ``out_dim`` says otherwise.
    """

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        out_dim = out_dim or dim
        self.conv1 = nn.ConvTranspose2d(dim, out_dim, kernel_size=2, stride=2)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(out_dim, out_dim, kernel_size=3, padding=1, groups=out_dim, bias=False)
        self.norm = LayerNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv2(self.act(self.conv1(x))))
