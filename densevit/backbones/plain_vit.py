"""A timm plain ViT as a dense backbone."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import timm
from timm.layers import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .contract import Backbone, pad_to_multiple
from .trunks import Tokens, drive


class PlainViT(Backbone):
    """A plain vision transformer, driven block by block: ``embed -> run(blocks i to j) -> norm``.

    The trunk is a timm model under timm's parameter names, by name (``PlainViT('vit_small_patch14_reg4_dinov2')``)
    or from explicit sizes (``PlainViT(embed_dim=192, depth=6, num_heads=3, patch_size=16)``). Images of any size are
    taken: they are zero-padded at the right and bottom to a whole number of patches.

    Args:
        name: A timm model of the VisionTransformer, Eva or VisionTransformerSAM family; None to build a
            VisionTransformer from ``trunk_kwargs``.
        out_indices: Blocks whose outputs ``forward`` returns; negative ones count from the end.
        norm_out: Whether the final norm is applied to the returned features; False builds the trunk without it.
        pos_embed_antialias, pos_embed_offset: Options of :func:`densevit.layers.resize_pos_embed`.
        stem: A convolutional stem in place of the patch embedding, as arguments of ``timm.create_model``
            (``dict(model_name='resnet18d', out_indices=(1, 2, 3))``); its last map is cut into patches.
        frozen_stages: -1 trains all, 0 freezes the embedding, k freezes k blocks as well.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations.
        pretrained: Download timm's weights for ``name``.
        trunk_kwargs: Passed to the timm model: ``img_size``, ``patch_size``, ``drop_path_rate``, ``embed_dim`` ...

    Attributes:
        out_channels: Channels of each returned map.
        strides: Stride of each returned map in pixels.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        out_indices: Sequence[int] = (-1, ),
        norm_out: bool = True,
        pos_embed_antialias: bool = True,
        pos_embed_offset: float = 0.,
        stem: dict[str, Any] | None = None,
        frozen_stages: int = -1,
        grad_checkpointing: bool = False,
        pretrained: bool = False,
        **trunk_kwargs: Any,
    ) -> None:
        super().__init__()
        self.trunk = build_trunk(name, stem, pretrained, trunk_kwargs)
        self.driver = drive(self.trunk, pos_embed_antialias, pos_embed_offset)
        self.embed_dim: int = self.trunk.embed_dim
        self.depth = len(self.trunk.blocks)
        self.stride: int = self.trunk.patch_embed.feat_ratio()
        self.num_prefix_tokens: int = getattr(self.trunk, 'num_prefix_tokens', 0)
        if not norm_out:
            self.trunk.norm = nn.Identity()
        self.grad_checkpointing = grad_checkpointing
        self.out_indices = tuple(self._block_index(index) for index in out_indices)
        self.out_channels = (self.embed_dim, ) * len(self.out_indices)
        self.strides = (self.stride, ) * len(self.out_indices)
        self.frozen_stages = frozen_stages
        self.freeze()

    @property
    def stem_channels(self) -> tuple[int, ...]:
        """Channels of the stem's maps, finest first; empty without a stem that tells them."""
        info = self._stem_info()
        return tuple(info.channels()) if info else ()

    @property
    def stem_strides(self) -> tuple[int, ...]:
        """Strides in pixels of the stem's maps, finest first."""
        info = self._stem_info()
        return tuple(info.reduction()) if info else ()

    def _stem_info(self) -> Any:
        patch_embed = self.trunk.patch_embed
        info = getattr(patch_embed.backbone, 'feature_info', None) if isinstance(patch_embed, HybridEmbed) else None
        return info if hasattr(info, 'reduction') else None  # a list in stems that give their last map alone

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to one (B, D, ceil(H / stride), ceil(W / stride)) for each of ``out_indices``."""
        tokens = self.embed(images)
        maps, start = {}, 0
        for index in sorted(set(self.out_indices)):
            tokens = self.run(tokens, start, index + 1)
            start = index + 1
            maps[index] = self.norm(tokens).feature_map()
        return tuple(maps[index] for index in self.out_indices)

    def embed(self, images: Tensor) -> Tokens:
        """Patches with positions behind the trunk's class and register tokens."""
        return self.driver.embed(pad_to_multiple(images, self.stride))

    def run(self, tokens: Tokens, start: int = 0, stop: int | None = None, attn_mask: Tensor | None = None) -> Tokens:
        """Blocks ``start`` to ``stop``; ``attn_mask`` is True where attention is allowed, (B, 1, N, N)."""
        for index in range(start, self.depth if stop is None else stop):
            if self.grad_checkpointing and self.training:
                x = checkpoint(self.driver.run_block, index, tokens, attn_mask, use_reentrant=False)
            else:
                x = self.driver.run_block(index, tokens, attn_mask)
            tokens = replace(tokens, x=x)
        return tokens

    def norm(self, tokens: Tokens) -> Tokens:
        """The trunk's final norm; nothing where the trunk has none."""
        norm = getattr(self.trunk, 'norm', None)
        return tokens if norm is None else replace(tokens, x=norm(tokens.x))

    def layer_index(self, name: str) -> int:
        parts = name.removeprefix('trunk.').split('.')
        if parts[0] == 'blocks':
            return int(parts[1]) + 1
        return self.depth + 1 if parts[0] == 'norm' else 0

    def stage_index(self, name: str) -> int | None:
        return None if name in ('trunk', 'trunk.blocks') else self.layer_index(name)

    def _block_index(self, index: int) -> int:
        if not -self.depth <= index < self.depth:
            raise ValueError(f'out_indices holds {index}, but the trunk has blocks 0 to {self.depth - 1}')
        return index % self.depth


def build_trunk(name: str | None, stem: dict[str, Any] | None, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
    """A timm model without classifier or pooling whose patch embedding takes any image size.

    Raises:
        ValueError: timm has no such model.
        TypeError: The model is no plain ViT.
        OSError: Its weights cannot be downloaded.
    """
    if stem is not None:
        stem = create(stem.get('model_name', ''), pretrained, features_only=True,
                      **{key: value for key, value in stem.items() if key != 'model_name'})
        kwargs = dict(kwargs, embed_layer=partial(HybridEmbed, backbone=stem))
        kwargs.setdefault('patch_size', 1)
    if name is None:
        return VisionTransformer(num_classes=0, global_pool='', dynamic_img_size=True, **kwargs)
    if timm.is_model(name) and 'sam' in timm.model_entrypoint(name).__module__.rsplit('.', 1)[-1]:
        trunk = create(name, pretrained, num_classes=0, **kwargs)
        trunk.patch_embed.strict_img_size = False
        trunk.neck = nn.Identity()
        return trunk
    try:
        return create(name, pretrained, num_classes=0, global_pool='', dynamic_img_size=True, **kwargs)
    except TypeError as error:
        if 'dynamic_img_size' not in str(error):
            raise
        raise TypeError(f"timm's {name} is not a plain ViT of the VisionTransformer or Eva family: it has one fixed "
                        'image size') from error


def create(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    """``timm.create_model`` whose errors say what to do."""
    if not timm.is_model(name):
        close = ', '.join(timm.list_models(f'*{name.split("_patch")[0]}*')[:8])
        raise ValueError(f"timm has no model '{name}'" + (f'; near it are {close}' if close else ''))
    try:
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except OSError as error:
        if not pretrained:
            raise
        raise OSError(f'the weights of {name} could not be downloaded ({type(error).__name__}); set pretrained=False '
                      '(--cfg-options model.backbone.pretrained=False) to start from random weights, or fill the cache '
                      'of huggingface_hub where there is a network') from error
