"""What every backbone keeps to, whatever is inside."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import to_2tuple
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers import crop


class Backbone(nn.Module):
    """(B, 3, H, W) images of any size to a tuple of (B, C_i, ceil(H / s_i), ceil(W / s_i)) feature maps.

    What has to be padded is padded inside, at the right and bottom, and cropped again.

    Attributes:
        out_channels: C_i, one for each map, finest first.
        strides: s_i in pixels.
        depth: Layers that :meth:`layer_index` counts.
        frozen_stages: -1 trains all, 0 freezes the embedding (or stem), k freezes k blocks (of a plain ViT) or stages
            (of a hierarchical one) as well. An adapter's are those of its ViT.
        norm_eval: Whether batch norms keep their running statistics in train mode.
    """
    out_channels: tuple[int, ...]
    strides: tuple[int, ...]
    depth: int
    frozen_stages: int = -1
    norm_eval: bool = False

    def layer_index(self, name: str) -> int:
        """Depth of a parameter for layer-wise learning rates: 0 embedding, 1 ... depth layers, depth + 1 the rest.

        Args:
            name: Parameter name relative to this module.
        """
        raise NotImplementedError

    def stage_index(self, name: str) -> int | None:
        """The stage that ``frozen_stages`` counts: 0 embedding, then 1 ...; None for a name of no stage."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        self.freeze()
        return self

    def freeze(self) -> None:
        """Frozen parts neither learn nor change in train mode (dropout, running statistics).

        As they are the first parts of a network, autograd records nothing of them: no activation is kept.
        """
        for name, module in self.named_modules():
            if self._is_frozen(name) or (self.norm_eval and isinstance(module, _BatchNorm)):
                module.eval()
        for name, parameter in self.named_parameters():
            if self._is_frozen(name):
                parameter.requires_grad_(False)

    def _is_frozen(self, name: str) -> bool:
        stage = self.stage_index(name) if name and self.frozen_stages >= 0 else None
        return stage is not None and stage <= self.frozen_stages


def pad_to_multiple(images: Tensor, multiple: int | tuple[int, int], value: float = 0.) -> Tensor:
    """Pad (..., H, W) at the right and bottom to whole multiples, one for both axes or (of H, of W)."""
    (height, width), (high, wide) = images.shape[-2:], to_2tuple(multiple)
    # As products, so that a compiler with symbolic sizes can divide them again; and always padded while it traces, so
    # that one graph serves all sizes.
    rows, columns = (height + high - 1) // high, (width + wide - 1) // wide
    if not torch.compiler.is_compiling() and (rows * high, columns * wide) == (height, width):
        return images
    return F.pad(images, (0, columns * wide - width, 0, rows * high - height), value=value)


def crop_to_strides(maps: Sequence[Tensor], strides: Sequence[int], size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Feature maps of a padded image cut to what an image of ``size`` (H, W) fills: ceil(H / s), ceil(W / s)."""
    return tuple(crop(x, ((size[0] + stride - 1) // stride, (size[1] + stride - 1) // stride))
                 for x, stride in zip(maps, strides, strict=True))
