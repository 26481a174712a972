"""The official trunks of SAM 2 and Hiera, built from their checkouts."""
from __future__ import annotations

import importlib
import sys
from typing import Any

import timm.models.layers  # noqa: F401  # before the official code does, whose imports are undone
from official import importable, repository
from torch import nn


def sam2_trunk(**sizes: Any) -> nn.Module:
    """SAM 2's image encoder without its neck; skips without a checkout."""
    root = repository('sam2')
    stubs = {'iopath.common.file_io': dict(g_pathmgr=None), 'sam2.utils.misc': dict(mask_to_box=None)}
    with importable(stubs=stubs):
        for package in ('sam2', 'sam2.utils'):
            sys.modules[package].__path__ = [str(root.joinpath(*package.split('.')))]
        return importlib.import_module('sam2.modeling.backbones.hieradet').Hiera(**sizes)


def hiera(masked: bool = False, **sizes: Any) -> nn.Module:
    """Hiera with its classifier, or with the decoder of a masked autoencoder; skips without a checkout."""
    with importable(repository('hiera')):
        if masked:
            return importlib.import_module('hiera.hiera_mae').MaskedAutoencoderHiera(**sizes)
        return importlib.import_module('hiera.hiera').Hiera(**sizes)
