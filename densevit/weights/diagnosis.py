"""Why a checkpoint does not fit, told by its shapes."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ..backbones import Backbone
from ..errors import shorten
from ..networks.base import Network
from .fitting import Fit
from .load_report import Shape, format_shape
from .reading import State

_SIZES = {(192, 12): 'Ti', (384, 12): 'S', (768, 12): 'B', (1024, 24): 'L', (1280, 32): 'H', (1408, 40): 'g',
          (1536, 40): 'g', (1664, 48): 'G', (4096, 40): '7B'}
_MAX_LINES = 8


@dataclass(frozen=True)
class Architecture:
    """A plain ViT as its tensors show it."""
    embed_dim: int
    depth: int
    patch_size: int
    family: str

    def __str__(self) -> str:
        size = _SIZES.get((self.embed_dim, self.depth))
        name = f'ViT-{size}/{self.patch_size}' if size else f'ViT/{self.patch_size}'
        family = f'{self.family} ' if self.family else ''
        return f'{family}{name} (embed_dim {self.embed_dim}, depth {self.depth})'


def recognise_architecture(state: State, prefix: str) -> Architecture | None:
    """The plain ViT under a prefix, by timm's names; None if there is none."""
    shapes = {name.removeprefix(prefix): tuple(tensor.shape) for name, tensor in state.items()
              if name.startswith(prefix)}
    patch = shapes.get('patch_embed.proj.weight', ())
    blocks = [int(match[1]) for name in shapes if (match := re.match(r'blocks\.(\d+)\.', name))]
    if len(patch) != 4 or not blocks:
        return None
    return Architecture(patch[0], max(blocks) + 1, patch[-1], _family(shapes))


def explain(state: State, module: nn.Module, prefix: str, result: Fit) -> str:
    """One sentence with the remedy."""
    theirs, ours = recognise_architecture(state, prefix), recognise_architecture(module.state_dict(), prefix)
    if theirs and ours and (theirs.embed_dim, theirs.depth, theirs.family) != (ours.embed_dim, ours.depth, ours.family):
        return (f'the checkpoint is a {theirs}, the model a {ours}; build the model with the checkpoint\'s backbone or '
                "load a checkpoint of the model's")
    in_number = {name: shapes for name, shapes in result.misfits.items() if shapes[0][1:] == shapes[1][1:]}
    if isinstance(module, Network) and (
            of_classes := next(filter(module.is_of_classes, in_number), None)):
        return _classes(module.num_classes, *in_number[of_classes])
    if not isinstance(module, Network | Backbone) and result.misfits.keys() == other_outputs(
            result.misfits) and result.misfits:
        return ("the number of classes differs; set it to the checkpoint's, or pass load_class_head=False "
                "(tools/train.py: --new-classes) to keep the model's own class heads")
    for name, sentence in _HINTS.items():
        if name in in_number:
            return sentence(*in_number[name])
    if any(name.endswith(('.q_bias', '.v_bias')) for name in result.unexpected):
        return ('the attention of the checkpoint has query and value biases; build the backbone with them '
                "(timm's names that end in _qkvb)")
    if prefix and (removed := [sentence for part, sentence in _REMOVED.items()
                               if any(name.startswith(prefix + part) for name in result.missing)]):
        parts, options = zip(*removed, strict=True)
        return (f"the ViT of the checkpoint has no {' and no '.join(parts)}; build the model's with "
                f"{', '.join(dict.fromkeys(options))}")
    if result.missing and not result.unexpected and not any(name.startswith(prefix) for name in result.missing):
        if prefix.startswith('backbone.'):
            return ('the checkpoint holds a backbone and no heads; load it into model.backbone, or pass strict=False '
                    'to keep the heads of the model')
        return ('the checkpoint lacks parts that the model has; build the model with the options of the checkpoint, or '
                'pass strict=False to keep them as they are')
    return 'the tensors below differ; build the model with the sizes and options of the checkpoint'


def other_outputs(misfits: Mapping[str, tuple[Shape, Shape]]) -> frozenset[str]:
    """Weights and biases that differ in the number of outputs of their layer alone, outside of a backbone or neck.

    Those of a model that does not tell which of its parts depend on the number of classes, as OpenMMLab's do not.

    Args:
        misfits: Shapes in the checkpoint and in the model, by name.
    """
    layers = {name.removesuffix('.weight') for name, (theirs, ours) in misfits.items()
              if name.endswith('.weight') and len(theirs) > 1 and theirs[1:] == ours[1:]
              and f'{name.removesuffix("weight")}bias' in misfits and not name.startswith(('backbone.', 'neck.'))}
    return frozenset(f'{layer}.{kind}' for layer in layers for kind in ('weight', 'bias'))


def describe(result: Fit, strict: bool) -> list[str]:
    """A line for each kind of tensor that does not fit, both shapes side by side."""
    lines = [f'{name}: {format_shape(theirs)} in the checkpoint, {format_shape(ours)} in the model'
             for name, (theirs, ours) in result.misfits.items()]
    if len(lines) > _MAX_LINES:
        lines[_MAX_LINES:] = [f'and {len(lines) - _MAX_LINES} more of other shapes']
    if strict and result.unexpected:
        lines.append(f'only in the checkpoint: {shorten(result.unexpected)}')
    if strict and result.missing:
        lines.append(f'only in the model: {shorten(result.missing)}')
    return lines


def _family(shapes: dict[str, Shape]) -> str:
    if 'blocks.0.attn.rel_pos_h' in shapes:
        return 'SAM'
    if 'reg_token' not in shapes or not {'blocks.0.gamma_1', 'blocks.0.ls1.gamma'} & shapes.keys():
        return ''
    return 'DINOv2 with registers' if 'pos_embed' in shapes else 'DINOv3'


def _classes(num_classes: int, theirs: Shape, ours: Shape) -> str:
    found = num_classes + theirs[0] - ours[0]
    return (f'the checkpoint has {found} classes, the model {num_classes}; set num_classes={found}, or pass '
            "load_class_head=False (tools/train.py: --new-classes) to keep the model's own class head")


def _queries(theirs: Shape, ours: Shape) -> str:
    return f'the checkpoint has {theirs[0]} queries, the model {ours[0]}; set num_queries={theirs[0]}'


def _blocks(theirs: Shape, ours: Shape) -> str:
    return f'{theirs[0]} blocks of the checkpoint see queries, {ours[0]} of the model; set num_blocks={theirs[0]}'


# What a trunk may be told to do without, as those of adapters are; beginnings of names.
_REMOVED = {'cls_token': ('class token', 'keep_prefix=False'), 'reg_token': ('register tokens', 'keep_prefix=False'),
            'norm.': ('final norm', 'norm_out=False')}
_HINTS = {'query.weight': _queries, 'attn_mask_probs': _blocks}
