"""ViT-P's official point classifier, from its checkout."""
from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import Any
from unittest import mock

from official import importable, repository
from torch import nn


def official_vit_p(**kwargs: Any) -> nn.Module:
    """A ``DinoVisionTransformer`` of the ViT-P repository, with its plain attention."""
    with mock.patch.dict(os.environ, XFORMERS_DISABLED='1'), importable(repository('ViT-P') / 'ViT-P'):
        module = import_module('dinov2.models.vision_transformer')
        block = partial(module.Block, attn_class=module.MemEffAttention)
        return module.DinoVisionTransformer(block_fn=block, **kwargs)
