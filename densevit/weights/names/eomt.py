"""Names of EoMT checkpoints, mapped to those of :class:`densevit.networks.segmentation.EoMT`.

The authors' code (github.com/tue-mps/eomt) keeps timm's names for DINOv2 and transformers' for DINOv3; transformers
has names of its own for both.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from ...backbones import PlainViT
from ...networks.segmentation import EoMT
from ..load_report import WeightsError, format_shape
from ..reading import State
from ..renaming import Rule, common_prefix, rename, split_prefix
from ..translate import OURS, Translated, reads
from .trunks import from_hf_dinov2, from_hf_dinov3, read_into_trunk

TRUNK = 'backbone.trunk.'
_AUTHORS_HEADS: tuple[Rule, ...] = (
    (r'criterion\..+', None),
    (r'encoder\.pixel_(?:mean|std)', None),
    (r'q\.weight', r'query.weight'),
)
_HF_HEADS: tuple[Rule, ...] = (
    (r'criterion\..+', None),
    (r'class_predictor\.(.+)', r'class_head.\1'),
    (r'mask_head\.fc1\.(.+)', r'mask_head.0.\1'),
    (r'mask_head\.fc2\.(.+)', r'mask_head.2.\1'),
    (r'mask_head\.fc3\.(.+)', r'mask_head.4.\1'),
    (r'upscale_block\.block\.(\d+)\.layernorm2d\.(.+)', r'upscale.\1.norm.\2'),
    (r'upscale_block\.block\.(\d+)\.(.+)', r'upscale.\1.\2'),
)
# The authors' DINOv3 backbone: transformers' layers under timm's two names.
_AUTHORS_DINOV3: tuple[Rule, ...] = (
    (r'patch_embed\.(.+)', r'embeddings.\1'),
    (r'blocks\.(.+)', r'layer.\1'),
)
_HF_TRUNK = ('embeddings.', 'layers.', 'layernorm.')

Converted = tuple[State, list[str]]


@dataclass(frozen=True)
class EoMTNaming:
    """A code base's names.

    Attributes:
        label: What reports call it.
        anchors: Names that only this naming has together; a common prefix may stand before them.
        convert: Tensors without the prefix to tensors under our names and the names not needed.
        may_be_delta: Whether the backbone may hold differences to the weights that it was trained from.
    """
    label: str
    anchors: tuple[str, ...]
    convert: Callable[[State], Converted]
    may_be_delta: bool = False


@reads(EoMT)
def read_eomt(state: State, module: EoMT) -> Translated | None:
    """Recognise the checkpoint of an EoMT, or of the plain ViT that one starts from."""
    trunk = module.backbone.trunk
    return _read_whole(state, trunk, TRUNK) or read_into_trunk(state, trunk, TRUNK)


@reads(PlainViT)
def read_plain_vit_of_eomt(state: State, module: PlainViT) -> Translated | None:
    """Recognise the checkpoint of an EoMT, of which a plain ViT takes its ViT."""
    eomt = _read_whole(state, module.trunk, 'trunk.')
    if eomt is None:
        return None
    trunk, heads = split_prefix(eomt.state, TRUNK)
    return replace(eomt, state={f'trunk.{name}': tensor for name, tensor in trunk.items()}, left=[*eomt.left, *heads])


def _read_whole(state: State, trunk: nn.Module, prefix: str) -> Translated | None:
    """An EoMT under our names; ``prefix`` stands before the names of the trunk where differences will be added up."""
    for naming in _NAMINGS:
        place = common_prefix(state, naming.anchors)
        if place is not None:
            inside, outside = split_prefix(state, place)
            converted, left = naming.convert(inside)
            is_delta = naming.may_be_delta and _is_delta(inside)
            complete = partial(_add_base, trunk=trunk, prefix=prefix) if is_delta else None
            return Translated(naming.label, converted, left + outside, complete=complete)
    return None


def _add_base(delta: State, base: State | None, trunk: nn.Module, prefix: str) -> State:
    """Backbone weights from differences and the weights that they refer to.

    The released EoMT-DINOv3 checkpoints are of this kind, because DINOv3's licence forbids to pass its weights on.
    Queries and heads are complete in them.

    Args:
        delta: Tensors under our names.
        base: Tensors of the backbone under names of any code base.
        trunk: The backbone's.
        prefix: What stands before the trunk's names in ``delta``.

    Raises:
        WeightsError: The base is lacking or of another model.
    """
    if base is None:
        raise WeightsError('the backbone of this checkpoint holds differences to DINOv3, whose licence forbids to '
                           'include it; get the DINOv3 weights of this size (huggingface.co/facebook) and pass them as '
                           'base= (--base)')
    start = read_into_trunk(base, trunk, prefix)
    if start is None:
        raise WeightsError('the base weights have names of no backbone known here; give DINOv3 as released by Meta, '
                           'transformers or timm')
    complete = dict(delta)
    for name, difference in delta.items():
        if not name.startswith(prefix):
            continue
        value = start.state.get(name)
        if value is None and name.endswith(('.q_bias', '.v_bias')):
            continue  # timm drops DINOv3's biases where they are 0
        if value is None or value.shape != difference.shape:
            other = 'nothing' if value is None else format_shape(value.shape)
            raise WeightsError(f'{name.removeprefix(prefix)}: the checkpoint holds a difference of '
                               f'{format_shape(difference.shape)}, the base weights {other}; give as base the DINOv3 '
                               'weights that this EoMT was trained from')
        complete[name] = value.float() + difference.float()
    if 'attn_mask_probs' in delta:
        complete['attn_mask_probs'] = _complete_probs(delta['attn_mask_probs'])
    return complete


def _complete_probs(probs: Tensor) -> Tensor:
    """Whether blocks are masked: the authors' loader adds this buffer to a new model's 1, transformers' takes it as is.

    The released models are finished, so that -1 and 0 both say that no block is masked, as the authors evaluate them.
    """
    return probs + 1 if (probs < 0).any() else probs


def _is_delta(state: State) -> bool:
    """Differences leave nothing of the image normalisation, which is part of the authors' backbone."""
    mean = state.get('encoder.pixel_mean', torch.zeros(1))
    return not mean.any()


def _from_ours(state: State) -> Converted:
    return state, []


def _from_authors_dinov2(state: State) -> Converted:
    return rename(state, (*_AUTHORS_HEADS, (r'encoder\.backbone\.(.+)', TRUNK + r'\1')))


def _from_authors_dinov3(state: State) -> Converted:
    heads, left = rename(state, _AUTHORS_HEADS)
    trunk, heads = _take(heads, 'encoder.backbone.')
    trunk, _ = rename(trunk, _AUTHORS_DINOV3)
    return _join(trunk, heads, from_hf_dinov3, left)


def _from_hf(convert_trunk: Callable[[State, nn.Module | None], Converted]) -> Callable[[State], Converted]:
    def convert(state: State) -> Converted:
        trunk = {name: tensor for name, tensor in state.items() if name.startswith(_HF_TRUNK)}
        heads, left = rename({name: tensor for name, tensor in state.items() if name not in trunk}, _HF_HEADS)
        return _join(trunk, heads, convert_trunk, left)

    return convert


def _join(
    trunk: State,
    heads: State,
    convert_trunk: Callable[[State, nn.Module | None], Converted],
    left: list[str],
) -> Converted:
    trunk, trunk_left = convert_trunk(trunk, None)
    return {**{TRUNK + name: tensor for name, tensor in trunk.items()}, **heads}, left + trunk_left


def _take(state: State, prefix: str) -> tuple[State, State]:
    inside, outside = split_prefix(state, prefix)
    return inside, {name: state[name] for name in outside}


_NAMINGS = (
    EoMTNaming(OURS, ('query.weight', TRUNK + 'blocks.0.norm1.weight'), _from_ours),
    EoMTNaming("the authors' EoMT", ('q.weight', 'encoder.backbone.blocks.0.attn.qkv.weight'), _from_authors_dinov2),
    EoMTNaming("the authors' EoMT-DINOv3", ('q.weight', 'encoder.backbone.blocks.0.attention.q_proj.weight'),
               _from_authors_dinov3, may_be_delta=True),
    EoMTNaming('transformers EoMT', ('query.weight', 'embeddings.position_embeddings.weight'),
               _from_hf(from_hf_dinov2)),
    EoMTNaming('transformers EoMT-DINOv3', ('query.weight', 'embeddings.patch_embeddings.weight'),
               _from_hf(from_hf_dinov3)),
)
