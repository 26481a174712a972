"""The official SegViT decoders, loss and shrinking ViT, without the OpenMMLab of their time."""
from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

import timm.models  # noqa: F401  # before the official code does, whose imports are undone
import torch
import torch._dynamo  # the same: checkpointing imports it
from official import importable, repository
from torch import Tensor, nn

from densevit.networks.segmentation import MaskTarget


class _Registry:

    def register_module(self) -> Callable[[type], type]:
        return lambda cls: cls


class _DecodeHead(nn.Module):

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.conv_seg = in_channels, num_classes, None


class _Layer(nn.Module):
    """A pre-norm layer with the calls of mmseg 0.24's, of PyTorch's attention."""

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(embed_dims, eps=1e-6) for _ in range(2))
        self.attention = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(embed_dims, feedforward_channels), nn.GELU(),
                                 nn.Linear(feedforward_channels, embed_dims))

    def attn(self, query: Tensor, *, identity: Tensor, **others: Tensor) -> Tensor:
        return identity + self.attention(query, others.get('key', query), others.get('value', query))[0]

    def ffn(self, x: Tensor, identity: Tensor) -> Tensor:
        return identity + self.mlp(x)


class _ViT(nn.Module):
    """Stands for mmseg's; fed with tokens in the place of images."""

    def __init__(self, img_size: int, patch_size: int, in_channels: int, embed_dims: int, *args: Any) -> None:
        super().__init__()
        self.layers, self.pos_embed = None, None
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.out_indices, self.final_norm = args[3], False
        self.with_cls_token = self.output_cls_token = False

    def patch_embed(self, tokens: Tensor) -> tuple[Tensor, None]:
        return tokens, None

    def _pos_embeding(self, x: Tensor, *args: Any) -> Tensor:
        return x


_STUBS: dict[str, dict[str, Any]] = {
    'matplotlib': {}, 'matplotlib.pyplot': {}, 'mmcv': {}, 'mmseg': {}, 'mmseg.models': {},
    'mmcv.runner': dict(auto_fp16=None, force_fp32=lambda apply_to: lambda method: method, ModuleList=nn.ModuleList),
    'mmcv.cnn': dict(build_norm_layer=None),
    'mmseg.models.builder': dict(HEADS=_Registry(), LOSSES=_Registry(), BACKBONES=_Registry()),
    'mmseg.models.decode_heads.decode_head': dict(BaseDecodeHead=_DecodeHead),
    'mmseg.models.losses': dict(accuracy=None, cross_entropy=None),
    'mmseg.models.backbones.vit': dict(VisionTransformer=_ViT, TransformerEncoderLayer=_Layer),
    'segvit': {},
}


def official(module: str, cls: str, *args: Any, **kwargs: Any) -> nn.Module:
    """An official module, in evaluation mode."""
    root = repository('SegVit')
    folders = ('backbone', 'decode_heads', 'losses')
    with importable(stubs={**_STUBS, **{f'segvit.{folder}': {} for folder in folders}}), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)  # it imports timm by an old name
        for folder in folders:
            sys.modules[f'segvit.{folder}'].__path__ = [str(root / folder)]
        return getattr(importlib.import_module(f'segvit.{module}'), cls)(*args, **kwargs).eval()


def all_predictions(head: nn.Module, levels: list[Tensor], grid: tuple[int, int] | None = None) -> dict[str, Any]:
    """What an official head gives in training, without dropout; its own grid is a square."""
    for module in head.modules():
        module.training = hasattr(module, 'd3_to_d4')  # the heads themselves
        if module.training and grid is not None:
            module.d3_to_d4 = lambda tokens: tokens.transpose(1, 2).unflatten(2, grid)
    return head(levels)


def flat(out: dict[str, Any]) -> list[Tensor]:
    """Masks and classes, stage by stage."""
    stages = [*out['aux_outputs'], out]
    return [stage[key] for stage in stages for key in ('pred_masks', 'pred_logits')]


def losses(out: dict[str, Any], labels: Tensor, num_classes: int) -> list[Tensor]:
    """The official loss in our order: class, mask and dice of each stage."""
    loss = official('losses.atm_loss', 'ATMLoss', num_classes, len(out['aux_outputs']) + 1)
    found = loss(out, labels, ignore_index=255)
    suffixes = [*(f'_{index}' for index in range(len(out['aux_outputs']))), '']
    return [found[f'loss_{kind}{suffix}'] for suffix in suffixes for kind in ('ce', 'mask', 'dice')]


def targets(labels: Tensor) -> list[MaskTarget]:
    """Labels (B, H, W) as masks of the classes that are there."""
    present = [own.unique()[own.unique() != 255] for own in labels]
    return [MaskTarget(classes, own == classes[:, None, None]) for own, classes in zip(labels, present, strict=True)]


def decoder_layers(theirs: str, ours: str, number: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The layers of an official attention-to-mask decoder with our values."""
    found = {}
    pairs = {'self_attn.out_proj': 'self_attention.attn.out_proj', 'norm1': 'self_attention.norm', 'norm2': 'norm',
             'multihead_attn.proj': 'cross_attention.out_proj', 'linear1': 'feed_forward.linear1',
             'linear2': 'feed_forward.linear2', 'norm3': 'feed_forward.norm',
             **{f'multihead_attn.{part}': f'cross_attention.{part}_proj' for part in 'qkv'}}
    for layer in range(number):
        for kind in ('weight', 'bias'):
            for their, own in pairs.items():
                found[f'{theirs}.layers.{layer}.{their}.{kind}'] = state[f'{ours}.{layer}.{own}.{kind}']
            found[f'{theirs}.layers.{layer}.self_attn.in_proj_{kind}'] = torch.cat(
                [state[f'{ours}.{layer}.self_attention.attn.{part}_proj.{kind}'] for part in 'qkv'])
    return found


def projections(number: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The projections of levels with our values."""
    pairs = {'input_proj': 'linear', 'proj_norm': 'norm'}
    return {f'{their}_{index + 1}.{kind}': state[f'projections.{index}.{own}.{kind}']
            for index in range(number) for their, own in pairs.items() for kind in ('weight', 'bias')}
