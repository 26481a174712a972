"""VPNeXt: Rethinking Dense Decoding for Plain Vision Transformer (arXiv:2502.16654).

No code was published; this follows the paper's idea, not every detail of it. Of the paper: visual context replay
happens in training only; local replay is a deformable convolution of an intermediate feature whose offsets come from
the last one, ``g_i = Deformable(x_i, o_z, r_i)`` with weights r_i, for two features i = a, b; global replay is by the
dot-product affinity of pixels; upsampling is guided by a feature pyramid that a plain ViT really has, not by one made
from its last feature. Chosen here:

- Affinity is that of the last feature, softmax(q(z) k(z)^T / sqrt(d)), and gathers what local replay gives; the sum of
  both is classified.
- Replay is taught by the cross-entropy of that classification, an auxiliary prediction of weight 0.4.
- Features are brought to the width of the decoder before they are replayed; kernels are 3x3; offsets start at zero.
- A plain ViT's real pyramid is its own patch kernel at half and a quarter of the patch's stride.
- Each step up resizes bilinearly and adds a 3x3 convolution of the feature and its guide, with LayerNorm and GELU.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from ...backbones import PlainViT
from ...backbones.contract import Backbone, pad_to_multiple
from ...layers import resize_bilinear
from .base import PixelNetwork


class VPNeXt(PixelNetwork):
    """The last map of a backbone, upsampled with real detail and classified; replay teaches the maps before it.

    In train mode there is an auxiliary prediction, at the stride of the last map, for each map before it. In
    evaluation replay does not run.

    Args:
        backbone: A plain ViT with some blocks before the last (``out_indices=(5, 8, 11)`` for two, as in the paper),
            or any backbone of several maps, the last of which is the coarsest; its finer maps then are the pyramid.
        num_classes: C.
        embed_dim: Width of the decoder.
        guide_dim: Width of each level of the pyramid.
        replay: False trains without replay, on any number of maps.

    Raises:
        ValueError: Nothing to replay into, or a convolutional stem that hides its maps.
    """
    class_parts = ('classifier', 'classifiers')

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        embed_dim: int = 256,
        guide_dim: int = 64,
        replay: bool = True,
    ) -> None:
        super().__init__(backbone, num_classes)
        *earlier, last = backbone.out_channels
        if replay and not earlier:
            raise ValueError('VPNeXt replays the last map into those before it, and the backbone gives one: choose '
                             'more out_indices, or replay=False')
        self.pyramid = _pyramid(backbone, guide_dim)
        self.neck = _project(last, embed_dim)
        self.upsample = ViTUp(embed_dim, guide_dim, self.pyramid.num_levels)
        self.classifier = nn.Conv2d(embed_dim, num_classes, 1)
        self.replay = VisualContextReplay(earlier, embed_dim, num_classes) if replay else None

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, guides = self.pyramid(self.backbone, images)
        z = self.neck(maps[-1])
        auxiliary = self.replay(maps[:-1], z) if self.replay is not None and self.training else []
        return [*auxiliary, self.classifier(self.upsample(z, guides))]


class VisualContextReplay(nn.Module):
    """Classifies intermediate features in the context of the last one.

    Args:
        in_channels: Channels of each intermediate feature.
        dim: D, the width of the last feature and of replay.
        num_classes: C.
    """

    def __init__(self, in_channels: Sequence[int], dim: int, num_classes: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(_project(channels, dim) for channels in in_channels)
        self.offsets = nn.Conv2d(dim, 2 * 3 * 3, 3, padding=1)
        self.local = nn.ModuleList(DeformConv2d(dim, dim, 3, padding=1) for _ in in_channels)
        self.query, self.key = nn.Conv2d(dim, dim // 4, 1), nn.Conv2d(dim, dim // 4, 1)
        self.norms = nn.ModuleList(nn.Sequential(LayerNorm2d(dim), nn.GELU()) for _ in in_channels)
        self.classifiers = nn.ModuleList(nn.Conv2d(dim, num_classes, 1) for _ in in_channels)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, features: Sequence[Tensor], z: Tensor) -> list[Tensor]:
        """Features (B, C_i, h_i, w_i) and the last one (B, D, h, w) to logits (B, C, h, w), one for each feature."""
        size, offsets = z.shape[-2:], self.offsets(z)
        features = [project(resize_bilinear(x, size)) for project, x in zip(self.projections, features, strict=True)]
        with torch.autocast(z.device.type, enabled=False):  # deformable convolution has no half precision on a CPU
            local = [convolve(x.float(), offsets.float()) for convolve, x in zip(self.local, features, strict=True)]
        replayed = torch.cat(local, 1)
        replayed = replayed + self.gather(replayed, z)
        return [classify(norm(x)) for norm, classify, x in zip(
            self.norms, self.classifiers, replayed.chunk(len(local), 1), strict=True)]

    def gather(self, x: Tensor, z: Tensor) -> Tensor:
        """Global replay: at each place, features (B, C, h, w) of all places by the affinity of z (B, D, h, w)."""
        q, k, v = (y.flatten(2).transpose(1, 2).unsqueeze(1) for y in (self.query(z), self.key(z), x))
        return F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2).unflatten(2, x.shape[-2:])


class ViTUp(nn.Module):
    """Upsampling step by step, each guided by a finer level of a pyramid.

    Args:
        dim: D.
        guide_dim: Channels of each level.
        num_levels: Steps.
    """

    def __init__(self, dim: int, guide_dim: int, num_levels: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim + guide_dim, dim, 3, padding=1, bias=False), LayerNorm2d(dim), nn.GELU())
            for _ in range(num_levels))

    def forward(self, x: Tensor, guides: Sequence[Tensor]) -> Tensor:
        """Upsample (B, D, h, w) by levels (B, G, h_i, w_i), coarsest first, to (B, D, h_n, w_n)."""
        for step, guide in zip(self.steps, guides, strict=True):
            x = resize_bilinear(x, guide.shape[-2:])
            x = x + step(torch.cat((x, guide), 1))
        return x


class PatchPyramid(nn.Module):
    """Maps of a plain ViT's patch kernel at finer strides than that of its patches: half and a quarter of 16.

    Each level has a projection to its width, by which the kernel is multiplied before it is applied: the wide features
    in between never exist.
    """

    def __init__(self, backbone: PlainViT, dim: int) -> None:
        super().__init__()
        patch = backbone.stride
        steps = max(1, int(math.log2(patch)) - 2)  # down to stride 4 for patches of 8 and 16
        self.strides = [patch // 2**step for step in range(1, steps + 1)]
        self.num_levels = steps
        self.projections = nn.ModuleList(nn.Conv2d(backbone.embed_dim, dim, 1) for _ in self.strides)

    def forward(self, backbone: PlainViT, images: Tensor) -> tuple[Sequence[Tensor], list[Tensor]]:
        """Maps of the backbone, and levels of the pyramid of (B, 3, H, W) images."""
        kernel, kernel_bias = backbone.patch_kernel
        padded = pad_to_multiple(images, backbone.stride)
        levels = []
        for stride, projection in zip(self.strides, self.projections, strict=True):
            mix = projection.weight.flatten(1)  # (G, D)
            weight = torch.einsum('gd,dchw->gchw', mix, kernel)
            bias = projection.bias if kernel_bias is None else projection.bias + mix @ kernel_bias
            # A level's cell lies in the middle of what the kernel sees.
            before = (backbone.stride - stride) // 2
            after = backbone.stride - stride - before
            levels.append(F.conv2d(F.pad(padded, (before, after, before, after)), weight, bias, stride))
        return backbone(images), levels


class MapPyramid(nn.Module):
    """The maps of a backbone that are finer than its last one, or those of a plain ViT's convolutional stem."""

    def __init__(self, backbone: Backbone, dim: int) -> None:
        super().__init__()
        self.from_stem = isinstance(backbone, PlainViT)
        strides = backbone.stem_strides if self.from_stem else backbone.strides
        channels = backbone.stem_channels if self.from_stem else backbone.out_channels
        finer = [index for index, stride in enumerate(strides) if stride < backbone.strides[-1]]
        self.order = sorted(finer, key=lambda index: -strides[index])
        self.num_levels = len(finer)
        self.projections = nn.ModuleList(nn.Conv2d(channels[index], dim, 1) for index in self.order)

    def forward(self, backbone: Backbone, images: Tensor) -> tuple[Sequence[Tensor], list[Tensor]]:
        """Maps of the backbone, and levels of the pyramid, coarsest first."""
        if self.from_stem:
            tokens = backbone.levels(images)
            maps, finer = [own.feature_map() for own in tokens], tokens[-1].stem
        else:
            maps = finer = backbone(images)
        return maps, [project(finer[index]) for index, project in zip(self.order, self.projections, strict=True)]


def _pyramid(backbone: Backbone, dim: int) -> PatchPyramid | MapPyramid:
    if not isinstance(backbone, PlainViT):
        return MapPyramid(backbone, dim)
    if not backbone.has_stem:
        return PatchPyramid(backbone, dim)
    if not any(stride < backbone.stride for stride in backbone.stem_strides):
        raise ValueError('VPNeXt upsamples with the maps of the convolutional stem, and this one gives its last alone: '
                         'build it with stem=dict(model_name=..., out_indices=...)')
    return MapPyramid(backbone, dim)


def _project(channels: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, dim, 1), LayerNorm2d(dim))
