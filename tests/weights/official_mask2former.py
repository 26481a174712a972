"""The official pixel and transformer decoders of Mask2Former and MaskFormer, from a checkout, without detectron2."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from official import importable, repository
from torch import Tensor, nn

_PACKAGES = ('mask2former', 'mask2former.modeling', 'mask2former.modeling.pixel_decoder',
             'mask2former.modeling.transformer_decoder')


class _Registry:

    def __init__(self, *args: Any) -> None:
        pass

    def register(self) -> Callable[[type], type]:
        return lambda cls: cls


class _Conv2d(nn.Conv2d):
    """detectron2's convolution, which a norm and an activation follow."""

    def __init__(self, *args: Any, norm: nn.Module | None = None, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norm, self.activation = norm, activation

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)


class OfficialMask2Former(nn.Module):
    """The parts behind the backbone, under the names that they have in a checkpoint."""

    def __init__(self, pixel_decoder: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.sem_seg_head = nn.ModuleDict(dict(pixel_decoder=pixel_decoder, predictor=predictor))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Masks and classes of every layer by turns."""
        features = {f'res{index + 2}': x for index, x in enumerate(maps)}
        mask_features, _, levels = self.sem_seg_head['pixel_decoder'].forward_features(features)
        out = self.sem_seg_head['predictor'](levels, mask_features)
        return [layer[key] for layer in (*out['aux_outputs'], out) for key in ('pred_masks', 'pred_logits')]


def official_mask2former(channels: Sequence[int], encoder: dict[str, Any], decoder: dict[str, Any]) -> nn.Module:
    """With the options that the official pixel decoder and transformer decoder take."""
    with _modules('msdeformattn', 'mask2former_transformer_decoder') as (pixels, queries):
        pixel_decoder = pixels.MSDeformAttnPixelDecoder(
            _shapes(channels), norm='GN', transformer_in_features=['res3', 'res4', 'res5'], common_stride=4, **encoder)
        predictor = queries.MultiScaleMaskedTransformerDecoder(**decoder)
    return OfficialMask2Former(pixel_decoder, predictor).eval()


class OfficialMaskFormer(OfficialMask2Former):
    """MaskFormer's parts, which are in Mask2Former's repository too."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Masks and classes of every layer by turns."""
        features = {f'res{index + 2}': x for index, x in enumerate(maps)}
        mask_features, encoded, _ = self.sem_seg_head['pixel_decoder'].forward_features(features)
        out = self.sem_seg_head['predictor'](maps[-1] if encoded is None else encoded, mask_features)
        return [layer[key] for layer in (*out['aux_outputs'], out) for key in ('pred_masks', 'pred_logits')]


def official_maskformer(channels: Sequence[int], dim: int, encoder: dict[str, Any] | None,
                        decoder: dict[str, Any]) -> nn.Module:
    """With the options that the official encoder, if there is to be one, and the transformer decoder take."""
    with _modules('fpn', 'maskformer_transformer_decoder') as (pixels, queries):
        sizes = dict(conv_dim=dim, mask_dim=dim, norm='GN')
        pixel_decoder = pixels.BasePixelDecoder(_shapes(channels), **sizes) if encoder is None else (
            pixels.TransformerEncoderPixelDecoder(_shapes(channels), **sizes, **encoder))
        predictor = queries.StandardTransformerDecoder(channels[-1] if encoder is None else dim, **decoder)
    return OfficialMaskFormer(pixel_decoder, predictor).eval()


def _shapes(channels: Sequence[int]) -> dict[str, Any]:
    return {f'res{index + 2}': SimpleNamespace(channels=width, stride=4 * 2**index)
            for index, width in enumerate(channels)}


@contextmanager
def _modules(pixel_decoder: str, transformer_decoder: str) -> Iterator[tuple[Any, Any]]:
    nothing = dict(c2_msra_fill=lambda module: None, c2_xavier_fill=lambda module: None)
    stubs = {
        'MultiScaleDeformableAttention': {},  # without the compiled operator its PyTorch version runs
        'fvcore.nn.weight_init': nothing,
        'detectron2.config': dict(configurable=lambda init: init),
        'detectron2.layers': dict(Conv2d=_Conv2d, ShapeSpec=SimpleNamespace, DeformConv=None,
                                  get_norm=lambda norm, width: nn.GroupNorm(32, width)),
        'detectron2.modeling': dict(SEM_SEG_HEADS_REGISTRY=_Registry()),
        'detectron2.utils.registry': dict(Registry=_Registry),
        **{name: {} for name in _PACKAGES},
    }
    root = repository('Mask2Former')
    with importable(stubs=stubs):
        for name in _PACKAGES:
            sys.modules[name].__path__ = [str(root.joinpath(*name.split('.')))]
        yield (import_module(f'{_PACKAGES[2]}.{pixel_decoder}'),
               import_module(f'{_PACKAGES[3]}.{transformer_decoder}'))
