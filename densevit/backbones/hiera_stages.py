"""What Hiera and HieraDet share: a timm trunk whose blocks form stages, each with its resolution."""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .contract import Backbone, crop_to_strides, pad_to_multiple
from .options import checked_frozen_stages, pick_levels
from .timm_models import create, near_options


class StagedTrunk(Backbone):
    """A trunk with ``patch_embed``, ``blocks`` and ``stage_ends``, without what no returned map depends on.

    Args:
        trunk: The timm model; its classifier and the stages behind the last returned one are removed.
        num_pools: Stages, from the second on, that begin by pooling queries with ``trunk.q_stride``.
        out_indices: Stages whose outputs are returned, finest first.
        norm_out: Whether each returned map goes through a LayerNorm of its own.
        frozen_stages, grad_checkpointing: See :class:`HieraDet`.

    Raises:
        ValueError: ``out_indices`` or ``frozen_stages`` name no stage, or strides along the two axes differ.
    """

    def __init__(
        self,
        trunk: nn.Module,
        *,
        num_pools: int,
        out_indices: int | Sequence[int],
        norm_out: bool,
        frozen_stages: int,
        grad_checkpointing: bool,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        count = len(trunk.stage_ends)
        self.out_indices = pick_levels(out_indices, count, f'stages 0 to {count - 1}')
        self.stage_ends = tuple(trunk.stage_ends[:self.out_indices[-1] + 1])
        trunk.blocks = trunk.blocks[:self.stage_ends[-1] + 1]
        trunk.head = nn.Identity()
        self.depth = len(trunk.blocks)
        self.patch_stride, self.pool = _patch_stride(trunk.patch_embed.proj), _square(trunk.q_stride)
        self.pools = tuple(min(stage, num_pools) for stage in range(len(self.stage_ends)))
        self.strides = tuple(self.patch_stride * self.pool**self.pools[stage] for stage in self.out_indices)
        self.out_channels = tuple(trunk.blocks[self.stage_ends[stage]].dim_out for stage in self.out_indices)
        self.norms = nn.ModuleList(LayerNorm2d(channels, eps=1e-6) for channels in self.out_channels if norm_out)
        self.grad_checkpointing = grad_checkpointing
        self.frozen_stages = checked_frozen_stages(frozen_stages, len(self.stage_ends), 'stages')

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Images are padded to multiples of so many pixels."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Padded images to tokens with positions, in the order in which the blocks take them."""

    @abstractmethod
    def run_block(self, block: nn.Module, x: Tensor) -> Tensor:
        """Run one block."""

    @abstractmethod
    def to_map(self, x: Tensor, stage: int, grid: tuple[int, int]) -> Tensor:
        """Tokens after a stage as (B, C, h, w), ``grid`` being (h, w)."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) for each of ``out_indices``."""
        padded = pad_to_multiple(images, self.multiple)
        height, width = padded.shape[-2:]
        x, maps, start = self.embed(padded), [], 0
        for stage, end in enumerate(self.stage_ends):
            for block in self.trunk.blocks[start:end + 1]:
                if self.grad_checkpointing and self.training:
                    x = checkpoint(self.run_block, block, x, use_reentrant=False)
                else:
                    x = self.run_block(block, x)
            start = end + 1
            if stage in self.out_indices:
                stride = self.patch_stride * self.pool**self.pools[stage]
                maps.append(self.to_map(x, stage, (height // stride, width // stride)))
        if self.norms:
            maps = [norm(x) for norm, x in zip(self.norms, maps, strict=True)]
        return crop_to_strides(maps, self.strides, tuple(images.shape[-2:]))

    def layer_index(self, name: str) -> int:
        parts = name.split('.')
        if parts[0] == 'norms':
            return self.depth + 1
        return int(parts[2]) + 1 if parts[1] == 'blocks' else 0

    def stage_index(self, name: str) -> int | None:
        parts = name.split('.')
        if parts[0] == 'norms' and len(parts) > 1:
            return self.out_indices[int(parts[1])] + 1
        if parts[0] != 'trunk' or len(parts) == 1 or parts[1:] == ['blocks']:
            return None
        if parts[1] != 'blocks':
            return 0
        return 1 + next(stage for stage, end in enumerate(self.stage_ends) if int(parts[2]) <= end)


def build_trunk(name: str | None, backbone: type[Backbone], cls: type[nn.Module], pretrained: bool,
                kwargs: dict[str, Any]) -> nn.Module:
    """The timm model of class ``cls`` for a backbone, by name or from explicit sizes.

    Raises:
        ValueError: timm has no such model, or there is no name to find weights by.
        TypeError: It is no model of this class, or has no such option.
        OSError: Its weights cannot be downloaded.
    """
    if name is None:
        if pretrained:
            raise ValueError(f"pretrained=True needs the name of one of timm's {cls.__name__} models")
        with near_options(backbone, cls):
            return cls(num_classes=0, **kwargs)
    with near_options(backbone, cls):
        trunk = create(name, pretrained, num_classes=0, **kwargs)
    if not isinstance(trunk, cls):
        raise TypeError(f"timm's {name} is a {type(trunk).__name__} and not a {cls.__name__}")
    return trunk


def _patch_stride(proj: nn.Conv2d) -> int:
    """The stride of a patch embedding that gives as many tokens as strides fit into an image."""
    stride = _square(proj.stride)
    overlap = [kernel - 2 * padding for kernel, padding in zip(proj.kernel_size, proj.padding, strict=True)]
    if not all(0 < size <= stride for size in overlap):
        raise ValueError(f'a patch embedding of kernel {proj.kernel_size}, stride {stride} and padding {proj.padding} '
                         'does not give one token a stride; choose kernel - 2 * padding from 1 to the stride')
    return stride


def _square(strides: Sequence[int]) -> int:
    if len(set(strides)) != 1:
        raise ValueError(f'strides {tuple(strides)} differ between the axes; a feature map has one stride')
    return strides[0]
