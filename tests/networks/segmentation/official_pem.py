"""PEM's official pixel decoder and transformer decoder, from their checkout, without detectron2."""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from official import importable, repository
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

_PACKAGES = ('pem', 'pem.modeling', 'pem.modeling.pixel_decoder', 'pem.modeling.transformer_decoder')


class _Registry:

    def __init__(self, *args: Any) -> None:
        pass

    def register(self) -> Callable[[type], type]:
        return lambda cls: cls


class _DeformConv(nn.Module):
    """detectron2's operator needs a GPU; torchvision's lays out offsets alike."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int, **kwargs: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, kernel_size, kernel_size))
        self.padding = padding

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return deform_conv2d(x, offset, self.weight, padding=self.padding, mask=mask)


class OfficialPEM(nn.Module):
    """The parts behind the backbone, under the names that they have in a checkpoint."""

    def __init__(self, pixel_decoder: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.sem_seg_head = nn.ModuleDict(dict(pixel_decoder=pixel_decoder, predictor=predictor))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Masks and classes of every layer by turns."""
        features = {f'res{index + 2}': x for index, x in enumerate(maps)}
        mask_features, _, levels = self.sem_seg_head['pixel_decoder'].forward_features(features)
        out = self.sem_seg_head['predictor'](levels, mask_features)
        layers = [*out['aux_outputs'], out]
        return [layer[key] for layer in layers for key in ('pred_masks', 'pred_logits')]


def official_pem(channels: Sequence[int], pixel_dim: int, mask_dim: int, **decoder: Any) -> OfficialPEM:
    """With ``decoder`` as the official decoder takes it."""
    nothing = dict(c2_msra_fill=lambda module: None, c2_xavier_fill=lambda module: None)
    stubs = {
        'fvcore.nn.weight_init': nothing,
        'detectron2.config': dict(configurable=lambda init: init),
        'detectron2.layers': dict(Conv2d=nn.Conv2d, DeformConv=None, ModulatedDeformConv=_DeformConv,
                                  ShapeSpec=SimpleNamespace, get_norm=lambda norm, width: nn.BatchNorm2d(width)),
        'detectron2.modeling': dict(SEM_SEG_HEADS_REGISTRY=_Registry()),
        'detectron2.utils.registry': dict(Registry=_Registry),
        **{name: {} for name in _PACKAGES},
    }
    root = repository('PEM')
    with importable(stubs=stubs):
        for name in _PACKAGES:
            sys.modules[name].__path__ = [str(root.joinpath(*name.split('.')))]
        shapes = {f'res{index + 2}': SimpleNamespace(channels=width) for index, width in enumerate(channels)}
        pixel_decoder = import_module(f'{_PACKAGES[2]}.pem_pixel_decoder').PEM_Pixel_Decoder(
            shapes, conv_dim=pixel_dim, mask_dim=mask_dim, norm='BN')
        predictor = import_module(f'{_PACKAGES[3]}.pem_transformer_decoder').MultiScaleMaskedTransformerDecoder(
            pixel_dim, mask_dim=mask_dim, pre_norm=True, enforce_input_project=True, **decoder)
    return OfficialPEM(pixel_decoder, predictor)
