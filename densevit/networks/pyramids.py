"""What networks on pyramids of maps need: the right strides, enough images for batch norms, maps of one size."""
from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..backbones.contract import Backbone
from ..layers import joined_processes, resize_bilinear


def require_pyramid(backbone: Backbone, strides: Sequence[int], network: str) -> None:
    """See that a backbone's maps have the strides that a network reads.

    Raises:
        ValueError: They have not; the message names an adapter that makes them.
    """
    if tuple(backbone.strides) != tuple(strides):
        raise ValueError(
            f'{network} reads maps of strides {tuple(strides)}, but {type(backbone).__name__} gives '
            f'{tuple(backbone.strides)}: choose its out_indices, or put a plain ViT into '
            'densevit.SimpleFeaturePyramid, densevit.ViTAdapter or densevit.ViTCoMer')


def require_images(norm: nn.Module, num_images: int, network: str) -> None:
    """See that a batch norm which gets one value of each image has several in a training step.

    Raises:
        ValueError: There is one image in all the processes whose values the norm joins.
    """
    if norm.training and num_images * joined_processes(norm) == 1:
        raise ValueError(f'{network} normalises over the images of a training step and needs two or more: raise '
                         "train_dataloader.batch_size, or train in several processes with sync_bn='torch'")


def at_finest(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Tensor]:
    """Maps (B, C_i, h_i, w_i) of these strides, all at the size of the finest."""
    size = maps[strides.index(min(strides))].shape[-2:]
    return [resize_bilinear(x, size) for x in maps]
