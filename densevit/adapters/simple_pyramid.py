"""A feature pyramid from the last map of a plain ViT (ViTDet, arXiv:2203.16527, section 3)."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from ..backbones import PlainViT
from ..backbones.contract import crop_to_strides
from ..layers import SyncBatchNorm
from .adapter import Adapter

_NORMS: dict[str, Callable[[int], nn.Module]] = dict(
    LN=partial(LayerNorm2d, eps=1e-6), BN=nn.BatchNorm2d, SyncBN=SyncBatchNorm, none=nn.Identity)
_SCALES = (4., 2., 1., .5)


class SimpleFeaturePyramid(Adapter):
    """Levels resized from the last feature map of a plain ViT alone, each through a 1x1 and a 3x3 convolution.

    Four times as fine takes two deconvolutions with a norm and GELU between them, twice as fine takes one, half as fine
    takes a max pooling. With ``top_block`` every second cell of the coarsest level makes one level more, as the
    detectors of the paper have it. Images of any size are taken; the ViT pads them to whole patches.

    The ViT-B of detectron2's ViTDet, whose checkpoints ``load_weights`` reads, is ``vit=dict(family='sam',
    img_size=1024, window_size=14, global_blocks=(2, 5, 8, 11), pos_embed_grid=14, pos_embed_antialias=False)`` with
    ``top_block=True``.

    Args:
        vit: A :class:`densevit.PlainViT`, or its arguments; unless they say otherwise it is built without class and
            register tokens and without a final norm, as in the paper.
        out_channels: Channels of every level.
        scale_factors: How fine the levels are compared with the ViT's map, finest first: some of 4, 2, 1 and 0.5.
        norm: Behind each convolution and between the deconvolutions: ``'LN'`` over channels as in the paper, ``'BN'``,
            ``'SyncBN'``, or ``'none'``, with which the convolutions have biases.
        top_block: Whether to add a level of half the last resolution, for a region proposal network.
        frozen_stages: -1 trains all, 0 freezes the ViT's embedding, k freezes k of its blocks as well.
        norm_eval: Whether batch norms keep their running statistics in train mode.
        drop_path_rate: Stochastic depth of the ViT's last block; a ViT that is given built has to have the same.
        grad_checkpointing: Recompute the ViT's blocks in the backward pass.

    Raises:
        ValueError: The levels would have strides that are no whole pixels, an argument is not one of the above, or
            ``vit`` contradicts it.
    """

    def __init__(
        self,
        vit: PlainViT | dict[str, Any],
        *,
        out_channels: int = 256,
        scale_factors: Sequence[float] = _SCALES,
        norm: Literal['LN', 'BN', 'SyncBN', 'none'] = 'LN',
        top_block: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_path_rate: float = 0.,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__(vit, frozen_stages=frozen_stages, drop_path_rate=drop_path_rate,
                         grad_checkpointing=grad_checkpointing, keep_prefix=False, norm_out=False)
        if norm not in _NORMS:
            raise ValueError(f"norm='{norm}': choose one of {', '.join(_NORMS)}")
        strides = level_strides(self.vit.stride, scale_factors)
        self.levels = nn.ModuleList(
            PyramidLevel(self.vit.embed_dim, out_channels, scale, norm) for scale in scale_factors)
        self.top_block = top_block
        self.strides = (*strides, 2 * strides[-1]) if top_block else strides
        self.out_channels = (out_channels, ) * len(self.strides)
        self.norm_eval = norm_eval
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to one map (B, out_channels, ceil(H / s), ceil(W / s)) for each of ``strides``."""
        features = self.vit.norm(self.vit.run(self.vit.embed(images))).feature_map()
        maps = [level(features) for level in self.levels]
        if self.top_block:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return crop_to_strides(maps, self.strides, images.shape[-2:])


class PyramidLevel(nn.Module):
    """One level: the ViT's map resized, projected and smoothed.

    Args:
        in_channels: Channels of the ViT.
        out_channels: Channels of the level.
        scale: One of 4, 2, 1 and 0.5.
        norm: See :class:`SimpleFeaturePyramid`.
    """

    def __init__(self, in_channels: int, out_channels: int, scale: float, norm: str) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        make_norm, bias = _NORMS[norm], norm == 'none'
        layers: dict[float, tuple[nn.Module, ...]] = {
            4.: (nn.ConvTranspose2d(in_channels, half, 2, 2), make_norm(half), nn.GELU(),
                 nn.ConvTranspose2d(half, quarter, 2, 2)),
            2.: (nn.ConvTranspose2d(in_channels, half, 2, 2), ),
            1.: (),
            .5: (nn.MaxPool2d(2, ceil_mode=True), )  # keeps an odd last row: an image may end there
        }
        self.resize = nn.Sequential(*layers[scale])
        self.project = nn.Conv2d({4.: quarter, 2.: half}.get(scale, in_channels), out_channels, 1, bias=bias)
        self.project_norm = make_norm(out_channels)
        self.smooth = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.smooth_norm = make_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Resize and project (B, in_channels, h, w) to (B, out_channels, scale * h, scale * w), rounded up."""
        x = self.project_norm(self.project(self.resize(x)))
        return self.smooth_norm(self.smooth(x))


def level_strides(stride: int, scale_factors: Sequence[float]) -> tuple[int, ...]:
    """Strides in pixels of levels that are so many times as fine as a map.

    Raises:
        ValueError: A factor is not one of 4, 2, 1 and 0.5, they are not finest first, or a stride is not whole.
    """
    if not scale_factors or [*scale_factors] != [scale for scale in _SCALES if scale in scale_factors]:
        raise ValueError(f'scale_factors={tuple(scale_factors)}: choose from {_SCALES}, finest first')
    if any(stride % scale for scale in scale_factors):
        strides = ', '.join(f'{stride / scale:g}' for scale in scale_factors)
        raise ValueError(f'levels of strides {strides} are no whole pixels; set patch_size=16 in vit (patch embeddings '
                         'are resized when weights are loaded), or choose scale_factors that divide its patch size')
    return tuple(int(stride / scale) for scale in scale_factors)
